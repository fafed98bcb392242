"""`crypto-tracer tls` beside what real programs print: every pair is seen, once, and nothing else is.

All run in a cgroup of the test's own, and speak to each other on this host.
"""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_wire_programs import SSH, comparable, expected_of, expected_of_ssh
from tests.support import pairs, talkers
from tests.support.pairs import PAIRS
from tests.support.recorder import Recorder
from tests.support.runs import document, run_tracer
from tests.support.sandbox import cgroup
from tests.support.workloads import Tracer

pytestmark = pytest.mark.kernel

HERE = [pair for pair in PAIRS if talkers.has(*pair.needs)]


def as_parsed(event):
    """As the parser gives it: arrays were tuples."""
    return comparable({key: tuple(each) if isinstance(each, list) else each for key, each in event.items()})


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """All pairs speak while one tracer looks: what each said, and the events of its port in their order."""
    folder = talkers.make_certificates(tmp_path_factory.mktemp("certificates"))
    pairs.FOLDER[0] = folder
    said, ports, recording = {}, {}, str(folder / "recording")
    with cgroup() as path, Tracer("--no-redact", "--cgroup", str(path), "--record", recording, command="tls") as tracer:
        for pair in HERE:
            with pair.server(folder) as port:
                said[pair.name], ports[pair.name] = pair.client("127.0.0.1", port), port
        for name, server, client, _ in SSH:
            if talkers.has(*name.replace(",", "").split()[:2]):
                with server(folder) as port:
                    said[name], ports[name] = client("127.0.0.1", port), port
        with talkers.openssl_server(folder, host="::1") as port:
            said["ipv6"], ports["ipv6"] = talkers.openssl()("::1", port), port
        for name, piece in (("split", 100), ("bytes", 1)):
            with talkers.openssl_server(folder) as port, Recorder(port, piece=piece) as recorder:
                said[name], ports[name] = talkers.openssl("-tls1_2")("127.0.0.1", recorder.port), recorder.port
                ports[name + " behind"] = port
        assert tracer.stop() == 130, tracer.stderr
        events = tracer.events()
    assert len(set(ports.values())) == len(ports)
    own = {name: [each for each in events if each["peer_port"] == port] for name, port in ports.items()}
    return said, own, events, folder, ports, recording


@pytest.mark.parametrize("pair", HERE, ids=lambda pair: pair.name.replace(" ", "-"))
def test_tls_line_is_what_the_program_prints(pair, seen):
    """The last connection of the pair; one event for two processes, from the client's side."""
    said, own, _, _, _, _ = seen
    assert len(own[pair.name]) >= pair.connections
    event = own[pair.name][pair.connections - 1]
    expected = expected_of(pair, said[pair.name])
    fields = as_parsed(event)
    assert {key: fields[key] for key in expected} == expected
    assert (event["event_type"], event["role"], event["source"]) == ("tls_handshake", "client", "wire")
    assert (event["truncated"], event["evidence"]) == (False, "negotiated")
    assert event["peer_pid"]
    assert event["peer_pid"] != event["pid"]


@pytest.mark.parametrize("row", SSH, ids=lambda row: row[0].replace(" ", "-"))
def test_tls_shows_ssh_as_the_program_prints_it(row, seen):
    """The same of SSH."""
    said, own, _, folder, ports, _ = seen
    if row[0] not in own:
        pytest.skip(f"needs {row[0]}")
    (event,) = own[row[0]]
    expected = expected_of_ssh(said[row[0]], folder, ports[row[0]], row[3])
    assert {key: event[key] for key in expected} == expected
    assert (event["event_type"], event["role"], event["evidence"]) == ("ssh_handshake", "client", "negotiated")


def test_tls_sees_ipv6_and_segments_of_any_size(seen):
    """Also a byte at a time; both connections through the proxy."""
    said, own, _, _, _, _ = seen
    (event,) = own["ipv6"]
    assert (event["peer_address"], event["suite"]) == ("::1", said["ipv6"]["suite"])
    for name in ("split", "bytes"):
        for which in (name, name + " behind"):
            (event,) = own[which]
            assert (event["suite"], event["truncated"]) == (said[name]["suite"], False)
            assert event["certificate_key"] == "RSA 2048"


def test_tls_shows_nothing_else(seen):
    """Every event is one of a connection that was made."""
    _, own, events, _, _, _ = seen
    assert len(events) == sum(map(len, own.values()))
    assert {event["event_type"] for event in events} == {"tls_handshake", "ssh_handshake"}


def test_tls_with_redaction_shows_the_same_connections(seen):
    """As users run it: connections of each kind pass the stage that hides what is private."""
    _, _, events, _, _, recording = seen
    lines = run_tracer("tls", "-q", "--replay", recording).splitlines()
    shown = [json.loads(line) for line in lines]
    assert [(each["event_type"], each["peer_port"]) for each in shown] == [
        (each["event_type"], each["peer_port"]) for each in events
    ]


def test_tls_summary_of_the_recording_counts_each_connection_once(seen):
    """Grades and kinds of connections, from what was recorded; `profile` counts the same."""
    _, _, events, _, _, recording = seen
    text = run_tracer("tls", "-q", "--no-redact", "--replay", recording, "-f", "summary")
    grades = text.partition("grades of connections")[2].partition("\n\n")[0].splitlines()[1:]
    shown = {line.split()[1]: int(line.split()[0]) for line in grades}
    assert shown == {name: sum(event["grade"] == name for event in events) for name in shown}
    assert {"broken", "weak", "quantum-vulnerable", "hybrid"} == set(shown)
    found = document(run_tracer("profile", "-q", "--no-redact", "--replay", recording, "-f", "json-pretty"))
    assert found["statistics"]["connections"] == len(events)
    assert sum(row["count"] for row in found["connections"]) == len(events)
    assert found["tls_handshakes"] == []
    assert json.dumps(found["connections"]).count("negotiated") == len(found["connections"])
