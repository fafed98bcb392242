"""Connections are counted once, by what was seen on the wire."""

from __future__ import annotations

import csv
import json
from argparse import Namespace

import pytest

from tests.unit.tracer import events
from tracer.cli import build_parser, complete
from tracer.commands import load_command
from tracer.connections import Connections, connection_text, grade_counts
from tracer.errors import UsageError
from tracer.pipeline.redact import hide_words
from tracer.pipeline.select import Selection
from tracer.sinks.summary import Summary
from tracer.sinks.table import COLUMNS, parse_cell, row

KNOWN = {"exe": "/usr/bin/x", "container": None}


def wire(**fields):
    return events.tls_on_the_wire(**KNOWN, **fields)


def library(**fields):
    return events.tls_handshake(**KNOWN, **fields)


class Lines:
    """An output that keeps its text."""

    text = ""

    def write_text(self, text):
        self.text += text


def test_what_libraries_tell_is_not_counted():
    """One handshake, told twice, is one connection."""
    found = Connections()
    for event in (library(), wire(), library(role="server"), events.ssh_handshake(**KNOWN)):
        found.add(event)
    assert found.count == 2
    assert sorted(each["protocol"] for each in found.rows()) == ["SSH", "TLS"]


def test_alike_connections_are_a_row_and_the_worst_comes_first():
    """Another process id is no other row; another suite is."""
    found = Connections()
    for event in (wire(), wire(pid=9), wire(grade="broken", grade_reason="x"), wire(grade=None, suite="0x9999")):
        found.add(event)
    rows = found.rows()
    assert [(each["grade"], each["count"]) for each in rows] == [("broken", 1), ("hybrid", 2), (None, 1)]
    assert rows[1]["pids"] == [4711, 9]
    assert grade_counts(rows) == {"broken": 1, "hybrid": 2}


def test_clients_of_a_server_are_not_told_apart_by_their_ports():
    """They have a new one each time, and the name is the server's own."""
    found = Connections()
    for port in (40001, 40002):
        found.add(wire(role="server", peer_port=port, peer_address="192.0.2.1"))
    (only,) = found.rows()
    assert (only["peer"], only["peer_port"], only["count"]) == ("192.0.2.1", None, 2)


def test_rows_have_a_bound(monkeypatch):
    """Names may be made up without end."""
    monkeypatch.setattr("tracer.connections.MAX_ROWS", 2)
    found = Connections()
    for number in range(5):
        found.add(wire(sni=f"{number}.example"))
    assert (len(found.rows()), found.count, found.lost) == (2, 5, 3)


def test_summary_has_grades_and_tells_sources_apart():
    """Names of servers are escaped; the two kinds of evidence have a line each."""
    output = Lines()
    with Summary(output) as sink:
        for event in (wire(sni="a\x1b[2J"), library(), events.ssh_handshake(**KNOWN)):
            sink.write(event)
    assert "1  tls_handshake (wire)" in output.text
    assert "1  tls_handshake (library)" in output.text
    assert "1  hybrid" in output.text
    assert "cat -> a\\u001b[2J:443  TLS 1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768" in output.text
    assert output.text.replace("\n", "").isprintable()


def test_connection_without_an_agreement():
    """It is told as what it is."""
    found = Connections()
    found.add(wire(version=None, suite=None, group=None, grade=None, grade_reason=None, evidence=None))
    assert "nothing was agreed on" in connection_text(found.rows()[0])


def test_cell_of_an_array_is_one_text():
    """That which JSON has; hostile parts are escaped."""
    (line,) = csv.reader([row(wire(offered_alpn=("a", "b\n")))])
    cells = {name: parse_cell(cell) for name, cell in zip(COLUMNS, line)}
    assert json.loads(cells["offered_alpn"]) == ["a", "b\n"]
    assert json.loads(cells["offered_versions"]) == ["TLS 1.3", "TLS 1.2"]
    assert json.loads(cells["offered_groups"]) == ["X25519MLKEM768", "x25519"]


def test_words_are_hidden_in_names_of_servers_too():
    """Also where they stand in an array."""
    fields = hide_words(["secret"])(wire(sni="secret.example", offered_alpn=("a-SECRET",))).fields
    assert (fields["sni"], fields["offered_alpn"]) == ("***.example", ("a-***",))


def test_only_wire_refuses_a_library():
    """Nothing could ever match, and nobody would know why."""
    command = load_command("tls")
    options = complete(command, build_parser(["tls"]).parse_args(["tls", "--library", "ssl"]))
    with pytest.raises(UsageError, match="--library does nothing here: tls shows the wire") as caught:
        Selection(options, ("tls_handshake", "ssh_handshake"), only_wire=True)
    assert caught.value.hint


@pytest.mark.parametrize(("only_wire", "left"), [(True, ["wire", None]), (False, ["wire", "library", None])])
def test_only_wire_leaves_libraries_out(only_wire, left):
    """SSH has no other source."""
    options = Namespace(file=[], library=[], replay="x", follow_children=False, cgroup=[], name=[], pid=[], uid=[],
                        container=[], no_redact=True, command="tls")  # fmt: skip
    selection = Selection(options, ("tls_handshake", "ssh_handshake"), only_wire=only_wire)
    found = [wire(), library(), events.ssh_handshake(**KNOWN)]
    for stage in selection.late():
        found = [event for event in found if stage(event)]
    assert [event.fields.get("source") for event in found] == left
