"""Recordings: what went in comes out, and what was tampered with is refused."""

from __future__ import annotations

import gzip
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tracer import events
from tracer.cli import main
from tracer.errors import OutputError, TracerError
from tracer.log import Log
from tracer.replay import read
from tracer.sinks.recording import Recording
from tracer.sinks.values import event_values

EXTRA = {
    "exe": None,
    "container": None,
    "file_type": "certificate",
    "library_name": "libssl",
    "family": "OpenSSL",
    "version": None,
    "build_id": None,
}


class Taken:
    """A sink that keeps events."""

    def __init__(self):
        self.events, self.written = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, event):
        self.events.append(event)
        self.written += 1

    def flush(self):
        pass


def some_events(name="/x.pem"):
    found = [events.file_open(name), events.process_exec("a", name), events.process_exit(), events.lib_load(name)]
    for event in found:
        event.fields.update(EXTRA)
    return found


def recorded(path, some):
    taken = Taken()
    with Recording(str(path), taken) as sink:
        for event in some:
            sink.write(event)
        sink.flush()
    assert taken.events == some
    return list(read(str(path), Log()))


@given(st.binary(max_size=64).filter(lambda raw: b"\0" not in raw))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_events_come_back_whatever_is_in_their_names(tmp_path, raw):
    """Every field, tuples as tuples."""
    some = some_events(os.fsdecode(raw))
    back = recorded(tmp_path / "x", some)
    assert [(event.kind, event.fields) for event in back] == [(event.kind, event.fields) for event in some]
    assert [event_values(event) for event in back] == [event_values(event) for event in some]


def test_recording_is_for_its_owner_only(tmp_path):
    """As all output."""
    recorded(tmp_path / "x", some_events())
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_recording_that_was_cut_off_gives_what_there_is(tmp_path, capsys):
    """A machine may fail while it is written."""
    path = tmp_path / "x"
    recorded(path, some_events() * 500)
    path.write_bytes(path.read_bytes()[:-20])
    assert 0 < len(list(read(str(path), Log()))) <= 2000
    assert "cut off" in capsys.readouterr().err


def test_recording_that_cannot_be_written_is_an_error(tmp_path):
    """A directory that is not there, a device without room."""
    with pytest.raises(OutputError, match="cannot open"):
        Recording(str(tmp_path / "no" / "x"), Taken())
    with pytest.raises(OutputError, match="No space left"), Recording("/dev/full", Taken()):
        pass


def lines_of(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.parametrize(
    ("at", "change"),
    [
        (0, lambda head: head.update(version=99)),
        (0, lambda head: head.update(format="x")),
        (1, lambda kind: kind.update(kind="no_such")),
        (1, lambda kind: kind.update(fields=["pid"])),
        (2, lambda row: row.pop()),
        (2, lambda row: row.__setitem__(0, 7)),
        ("pid", '1,"uid":0'),
        ("pid", True),
        ("pid", None),
        ("comm", 5),
        ("flags", None),
    ],
)
def test_recording_that_was_tampered_with_is_refused(tmp_path, at, change):
    """No value reaches a format that it could break."""
    path = tmp_path / "x"
    recorded(path, some_events())
    lines = lines_of(path)
    if isinstance(at, str):
        lines[2][1 + lines[1]["fields"].index(at)] = change
    else:
        change(lines[at])
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    with pytest.raises(TracerError, match="is not as it should be"):
        list(read(str(path), Log()))


def test_file_that_is_no_recording_is_an_error(tmp_path, capsys):
    """Exit code 1, with how one is made."""
    path = tmp_path / "x"
    path.write_text("{}\n")
    assert main(["monitor", "--replay", str(path)]) == 1
    assert "is no recording" in capsys.readouterr().err
    assert main(["monitor", "--replay", str(tmp_path / "none")]) == 1
    assert main(["monitor", "--replay", str(path), "--follow-children", "-p", "1"]) == 2
