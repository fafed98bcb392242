"""Recordings: what went in comes out, and what was tampered with is refused."""

from __future__ import annotations

import gzip
import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tracer import events, records
from tracer.cli import main
from tracer.errors import OutputError, TracerError
from tracer.log import Log
from tracer.pipeline.redact import hide_words, redact
from tracer.replay import Player, play
from tracer.sinks import recording as module
from tracer.sinks.recording import FRAME, Recording
from tracer.sinks.values import event_values

EXTRA = {"exe": "/bin/x", "container": None, "pod": None, "pod_name": None, "container_name": None,
         "file_type": "certificate", "library_name": "libssl", "family": "OpenSSL",
         "version": None, "build_id": None}  # fmt: skip
LETTERS = "BCFDJER"


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


def complete(event):
    event.fields.update(EXTRA)
    return event


def some_events(name=b"x.pem", times=1):
    """Those with records, each as often as asked for, then one without."""
    found = []
    for time in range(times):
        rows = [
            records.opened(b"/etc/" + name),
            records.executed(b"cat", name),
            records.row("process_exit", exit_code=3),
            records.row("lib_open", name + b"\0"),
        ]
        found += [complete(records.decoder().event((1000 + time, rest))) for _, rest in rows]
    plain = complete(events.lib_present("/usr/lib/libssl.so.3"))
    return [*found, plain]


def write(path, some):
    taken = Taken()
    with Recording(str(path), taken, redacted=True) as sink:
        sink.describe(records.decoder())
        for number, event in enumerate(some):
            sink.write(event)
            if number % 100 == 99:
                sink.flush()
        sink.flush()
    assert taken.events == some


def read(path, stages=()):
    taken = Taken()
    play(Player(lambda _private, _redacted: stages, taken, lambda: False), str(path), Log())
    return taken.events


def recorded(path, some):
    write(path, some)
    return read(path)


@given(st.binary(min_size=1, max_size=64).filter(lambda raw: b"\0" not in raw and b"/" not in raw))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_events_come_back_whatever_is_in_their_names(tmp_path, raw):
    """Every field, tuples as tuples, events without a record too."""
    some = some_events(raw)
    back = recorded(tmp_path / "x", some)
    assert [(event.kind, event.fields) for event in back] == [(event.kind, event.fields) for event in some]
    assert [event_values(event) for event in back] == [event_values(event) for event in some]


def test_records_are_kept_to_the_byte(tmp_path):
    """As they came from the kernel, with the BTF that describes them."""
    some = some_events()
    write(tmp_path / "x", some)
    content = gzip.decompress((tmp_path / "x").read_bytes())
    assert records.spec().btf.data in content
    assert all(event.record in content for event in some if event.record)


def test_what_redaction_changed_is_in_no_record(tmp_path):
    """Neither a path, nor an argument, nor a word; what is shown instead comes back."""
    rows = [
        records.opened(b"/home/alice/x.pem"),
        records.executed(b"curl", b"-u", b"bob:hunter2", b"https://example.org"),
        records.row("lib_open", b"/home/alice/libssl.so\0"),
        records.opened(b"/etc/acme.pem", comm=b"acmed"),
    ]
    some = [complete(records.decoder().event(row)) for row in rows]
    stages = redact(records.decoder().private), hide_words(["acme"])
    for event in some:
        for stage in stages:
            stage(event)
    back = recorded(tmp_path / "x", some)
    assert [event_values(event) for event in back] == [event_values(event) for event in some]
    assert back[0].fields["path"] == "/home/USER/x.pem"
    content = gzip.decompress((tmp_path / "x").read_bytes())
    assert not [secret for secret in (b"alice", b"hunter2", b"acme") if secret in content]


@pytest.mark.parametrize("room", [4096, 2])
def test_events_that_repeat_others_are_kept_as_numbers(tmp_path, monkeypatch, room):
    """In their order and at their times, also when the numbers have to begin anew."""
    monkeypatch.setattr(module, "MOST_DEFINITIONS", room)
    some = some_events(times=20)
    back = recorded(tmp_path / "x", some)
    assert [event.fields for event in back] == [event.fields for event in some]
    letters = [letter for letter, _ in frames_of(tmp_path / "x")]
    assert letters.count("D") == (4 if room > 5 else 80)


def test_sink_writes_again_what_it_has_prepared(tmp_path):
    """With the file and the other sink alike, and after its numbers began anew."""
    first, other = some_events()[:2]
    taken = Taken()
    with Recording(str(tmp_path / "x"), taken, redacted=True) as sink:
        sink.describe(records.decoder())
        form = sink.prepare(first)
        sink.again(form, 5, 10**18 + 5)
        sink.write(other)
        sink.again(form, 7, 10**18 + 7)
    expected = [(first.kind, 5), (other.kind, 1000), (first.kind, 7)]
    assert [(event.kind, event.fields["time"]) for event in taken.events] == expected
    back = read(tmp_path / "x")
    assert [event.fields for event in back] == [event.fields for event in taken.events]


def test_recording_is_for_its_owner_only(tmp_path):
    """As all output."""
    write(tmp_path / "x", some_events())
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_recording_that_was_cut_off_gives_what_there_is(tmp_path, capsys):
    """A machine may fail while it is written."""
    path = tmp_path / "x"
    write(path, [event for i in range(500) for event in some_events(b"%d" % (i * 7919))])
    path.write_bytes(path.read_bytes()[:-200])
    assert 0 < len(read(path)) < 2500
    assert "cut off" in capsys.readouterr().err


def test_recording_that_cannot_be_written_is_an_error(tmp_path):
    """A directory that is not there, a device without room."""
    with pytest.raises(OutputError, match="cannot open"):
        Recording(str(tmp_path / "no" / "x"), Taken(), redacted=True)
    with pytest.raises(OutputError, match="No space left"), Recording("/dev/full", Taken(), redacted=True):
        pass


def frames_of(path):
    """Letter and content of each frame; the first is the head, as an object."""
    content = gzip.decompress(path.read_bytes())
    end = content.index(b"\n")
    found, at = [("head", json.loads(content[:end]))], end + 1
    while at < len(content):
        letter, size = FRAME.unpack_from(content, at)
        found.append((chr(letter), content[at + FRAME.size : at + FRAME.size + size]))
        at += FRAME.size + size
    return found


def put_together(path, frames):
    parts = []
    for letter, content in frames:
        if letter == "head":
            parts.append(json.dumps(content).encode() + b"\n")
        else:
            parts += [FRAME.pack(ord(letter), len(content)), content]
    path.write_bytes(gzip.compress(b"".join(parts)))


def facts(**changed):
    return "F", lambda content: json.dumps({**json.loads(content), **changed}).encode()


def fields(**changed):
    def change(content):
        value = json.loads(content)
        value["fields"].update(changed)
        return json.dumps(value).encode()

    return "J", change


@pytest.mark.parametrize(
    ("letter", "change"),
    [
        ("head", lambda head: {**head, "version": 99}),
        ("head", lambda head: {**head, "machine": None}),
        ("head", lambda head: {**head, "machine": "pdp11"}),
        ("B", lambda content: content[:40]),
        ("B", lambda content: content.replace(b"\0ct_pid\0", b"\0ct_pxd\0")),
        ("B", lambda content: content.replace(b"\0tid\0", b"\0tix\0")),
        ("B", lambda content: content.replace(b"\0CT_FILE_OPEN\0", b"\0CT_FILE_OPEX\0")),
        ("B", lambda content: content.replace(b"\0ct_event\0", b"\0ct_evenx\0")),
        ("C", lambda content: content[:4]),
        ("C", lambda _: struct.pack("<q", -1)),
        ("D", lambda content: struct.pack("<I", 7) + content[4:]),
        ("D", lambda content: content[:60]),
        ("D", lambda _: b""),
        ("D", lambda content: content[:4] + struct.pack("<Q", 1 << 63) + content[12:]),
        ("E", lambda content: content[:-1]),
        ("E", lambda content: struct.pack("<I", 99) + content[4:]),
        ("E", lambda content: content[:4] + b"\xff" * 8 + content[12:]),
        ("F", lambda _: b"{"),
        ("F", lambda _: b"[" * 100_000),
        ("F", lambda _: b"[]"),
        facts(exe=5),
        facts(pid="1"),
        facts(pid=True),
        facts(comm=5),
        facts(flags=None),
        facts(file_type=["x"]),
        ("J", lambda _: b"{}"),
        ("J", lambda _: b'{"kind": "no_such", "fields": {}}'),
        ("J", lambda _: b'{"kind": "lib_present", "fields": {"pid": 1}}'),
        fields(pid='1,"uid":0'),
        fields(wall_ns=-1),
        fields(library_name=None),
    ],
)
def test_recording_that_was_tampered_with_is_refused(tmp_path, letter, change):
    """No value reaches a format that it could break."""
    path = tmp_path / "x"
    write(path, some_events())
    changed = frames_of(path)
    at = next(i for i, frame in enumerate(changed) if frame[0] == letter)
    changed[at] = letter, change(changed[at][1])
    put_together(path, changed)
    with pytest.raises(TracerError, match="is not as it should be"):
        read(path)


@pytest.mark.parametrize("letter", ["B", "F", "D", "Z"])
def test_frame_where_it_must_not_be_is_refused(tmp_path, letter):
    """Types a second time, events before the types, more definitions than a reader remembers, unknown frames."""
    path = tmp_path / "x"
    write(path, some_events())
    head, types, *rest = frames_of(path)
    found = {
        "B": [head, types, types],
        "F": [head, next(frame for frame in rest if frame[0] == "F"), types],
        "D": [head, types, ("F", b"{}"), *[("D", bytes(80))] * 5000],
        "Z": [head, types, ("Z", b"")],
    }[letter]
    put_together(path, found)
    with pytest.raises(TracerError, match="is not as it should be"):
        read(path)


def test_frame_without_bounds_is_refused(tmp_path):
    """Whatever its size says; and so is what follows the end."""
    path = tmp_path / "x"
    write(path, some_events())
    whole = path.read_bytes()
    content = gzip.decompress(whole)
    path.write_bytes(gzip.compress(content + FRAME.pack(ord("E"), 1 << 31)))
    with pytest.raises(TracerError, match="a frame of 2147483648 bytes"):
        read(path)
    path.write_bytes(gzip.compress(content + FRAME.pack(ord("E"), 100)))
    with pytest.raises(TracerError, match="not whole"):
        read(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(TracerError, match="something follows"):
        read(path)


@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_changed_bytes_are_read_or_refused(tmp_path, changes):
    """Nothing else comes of them."""
    path = tmp_path / "x"
    if not path.exists():
        write(path, some_events())
        (tmp_path / "whole").write_bytes(path.read_bytes())
    content = bytearray(gzip.decompress((tmp_path / "whole").read_bytes()))
    for at, byte in changes:
        content[at % len(content)] = byte
    path.write_bytes(gzip.compress(bytes(content), 1))
    try:
        for event in read(path):
            event_values(event)
    except TracerError:
        pass


def test_file_that_is_no_recording_is_an_error(tmp_path, capsys):
    """Exit code 1, with how one is made."""
    path = tmp_path / "x"
    for content in (b"{}\n", b"", gzip.compress(b"{}\n"), gzip.compress(b"x" * 100_000), gzip.compress(b"")):
        path.write_bytes(content)
        assert main(["monitor", "--replay", str(path)]) == 1
        assert "is no recording" in capsys.readouterr().err
    assert main(["monitor", "--replay", str(tmp_path / "none")]) == 1
    assert main(["monitor", "--replay", str(path), "--follow-children", "-p", "1"]) == 2


@pytest.mark.parametrize(("arguments", "shown"), [((), 5), (("-p", "4711"), 5), (("-p", "1"), 0), (("-F", "*.pem"), 1)])
def test_replay_takes_filters(tmp_path, capfd, arguments, shown):
    """They hold for events that repeat others, too."""
    path = tmp_path / "x"
    write(path, [*some_events(times=1)[:-1], *some_events()])
    assert main(["monitor", "-q", "--replay", str(path), *arguments]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len({json.loads(line)["event_type"] for line in lines}) == shown
    assert len(lines) == max(2 * shown - 1, 0) if shown != 1 else 2
