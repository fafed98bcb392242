"""The short way through the pipeline gives what the long way gives."""

from __future__ import annotations

import pytest

from tests.unit.tracer import records
from tracer import stream as module
from tracer.pipeline import build_pipeline, run_stages
from tracer.proc.table import ProcessTable
from tracer.settings import Settings
from tracer.sinks.jsonl import JsonLines
from tracer.stream import Stream

SETTINGS = Settings(own_pid=1)


class Table(ProcessTable):
    """Knows what everybody runs, by what was executed last."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = 0

    def _look(self, key, first_thread):  # type: ignore[override]
        self.asked += 1
        return f"/bin/{first_thread}" if key[0] != 66 else None


class Clock:
    offset_ns = 10**18


class Kept:
    """An output."""

    def __init__(self):
        self.lines, self.written = [], 0

    def write_lines(self, lines):
        self.lines += lines
        self.written += len(lines)


class Events:
    """A sink that has nothing but `write`."""

    def __init__(self):
        self.lines, self.written = [], 0

    def write(self, event):
        self.lines.append((event.kind.name, sorted((k, v) for k, v in event.fields.items() if v is not None)))

    def flush(self):
        pass


class Lines(JsonLines):
    """JSON lines."""

    def __init__(self):
        self.kept = Kept()
        super().__init__(self.kept)

    @property
    def lines(self):
        return self.kept.lines


class Decoded:
    """Decodes, and counts."""

    def __init__(self):
        self.count = 0

    def __call__(self, rows):
        self.count += len(rows)
        found = [records.decoder().event(row) for row in rows]
        for event in found:
            event.fields["wall_ns"] = event.fields["time"] + Clock.offset_ns
        return found


def the_long_way(rows, sink, **table):
    stages = build_pipeline(SETTINGS, Table(**table), records.decoder().private)
    for event in Decoded()(rows):
        left = run_stages(stages, event)
        if left:
            sink.write(left)
    sink.flush()
    return sink.lines


def the_short_way(rows, sink, decode, size=7, listened=(), **table):
    processes = Table(**table)
    stages = build_pipeline(SETTINGS, processes, records.decoder().private)
    stream = Stream(decode, stages, sink, Clock(), listened=listened, remembers=processes.remembers)
    for at in range(0, len(rows), size):
        stream.take(rows[at : at + size])
    sink.flush()
    return sink.lines


def busy(times=6):
    """Rows of some processes, in their order: opens again and again, with programs and ends in between."""
    found = []
    for i in range(times):
        for pid in (5, 66, 7):
            found += [
                records.opened(b"/etc/ssl/x.pem", time_ns=i * 100 + pid, pid=pid, tid=pid),
                records.opened(b"/home/alice/y.key", time_ns=i * 100 + pid, pid=pid, tid=pid, comm=b"new%d" % (i // 2)),
                records.opened(b"/etc/passwd", time_ns=i * 100 + pid, pid=pid, tid=pid),
                records.opened(b"/own.pem", time_ns=i * 100, pid=SETTINGS.own_pid),
            ]
        if i % 2:
            found.append(records.executed(b"x%d" % i, time_ns=i * 100 + 90, pid=5, tid=5, comm=b"new%d" % (i // 2)))
        if i == times // 2:
            found.append(records.row("process_exit", time_ns=i * 100 + 91, pid=7, tid=7))
    return found


@pytest.mark.parametrize("sink", [Lines, Events])
@pytest.mark.parametrize("kept", [2048, 3])
@pytest.mark.parametrize("table", [{}, {"sees_exec": False}])
def test_short_way_gives_what_the_long_way_gives(monkeypatch, sink, kept, table):
    """Every event, in its order, at its time, with the executable of that moment."""
    monkeypatch.setattr(module, "KEPT", kept)
    rows = busy()
    long = the_long_way(rows, sink(), **table)
    assert len(long) > 36
    assert the_short_way(rows, sink(), Decoded(), **table) == long


def test_records_that_repeat_others_are_not_decoded():
    """Nor are those that were dropped; but all of processes about which nothing is known."""
    decode = Decoded()
    rows = [
        each
        for i in range(10)
        for each in (
            records.opened(time_ns=i),
            records.opened(b"/etc/passwd", time_ns=i),
            records.opened(time_ns=i, pid=66, tid=66),
        )
    ]
    assert len(the_short_way(rows, Lines(), decode)) == 20
    assert decode.count == 1 + 1 + 10


def test_program_that_was_executed_shows_in_what_follows():
    """Although the records of the opens are the same, and so is the name."""

    class Renamed(Table):
        def _look(self, key, first_thread):
            return f"/bin/{self.asked}"

        def executed(self, *question):
            self.asked += 1
            return super().executed(*question)

    processes, sink, decode = Renamed(), Events(), Decoded()
    stages = build_pipeline(SETTINGS, processes, records.decoder().private)
    stream = Stream(decode, stages, sink, Clock())
    for i in range(3):
        stream.take(
            [
                records.opened(time_ns=i * 10),
                records.opened(time_ns=i * 10 + 1),
                records.executed(b"x", time_ns=i * 10 + 2),
            ]
        )
    assert [dict(line)["exe"] for kind, line in sink.lines if kind == "file_open"] == [
        "/bin/0", "/bin/0", "/bin/1", "/bin/1", "/bin/2", "/bin/2",
    ]  # fmt: skip


def test_kinds_that_somebody_listens_to_are_always_decoded():
    """A probe may add to each event."""
    decode = Decoded()
    the_short_way([records.opened(time_ns=i) for i in range(5)], Lines(), decode, listened=["file_open"])
    assert decode.count == 5


def test_too_large_records_are_not_kept():
    """Processes choose what is in them."""
    decode = Decoded()
    name = b"/" + b"x" * 600 + b".pem"
    the_short_way([records.opened(name, time_ns=i) for i in range(3)], Lines(), decode)
    assert decode.count == 3


def test_new_processes_are_told_of():
    """Before the stages, which drop these events."""
    told = []
    stream = Stream(Decoded(), (), Events(), Clock(), notice=told.append)
    stream.take([records.row("process_fork", child=9), records.opened()])
    assert [event.fields["child"] for event in told] == [9]
