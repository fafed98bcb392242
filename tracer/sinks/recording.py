# SPDX-License-Identifier: MIT
"""A recording of events: a compact file that each view can be made of later, on any machine, without privilege.

It holds the records of the kernel as they came, and the BTF that describes them: a later version may find more in them.
Beside a record stands what the tracer knew and no record says, such as executables, containers, versions of libraries.
Events that no record is behind are there as well.

What is private is hidden as in any other output. Where that has changed a text, the record has nothing in its place,
and the changed text stands beside the record. A record whose texts did not change stays as it was, to the byte.

The form
    gzip, of one line of JSON, and then frames. The line says what it is, of which host and machine. A frame is a
    letter, the size of what follows (u32, little-endian as all numbers), and that:

    ===  ===================================================================================
    `B`  the BTF; comes first
    `C`  the distance of the wall clock from the time of the records that follow, ns, i64
    `F`  facts that some records have in common: fields of events, a JSON object
    `D`  a definition: u32 number of the facts, and the bytes of a record behind its time
    `J`  a definition, too: an event without a record, a JSON object of `kind` and `fields`
    `E`  events in their order: for each, u32 number of the definition, u64 time
    `R`  forget all facts and definitions: numbers begin at 0 again
    ===  ===================================================================================

    Facts and definitions are numbered as they come, both from 0. A definition serves all events that differ in nothing
    but their time, so an event that repeats another one takes twelve bytes before compression.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import time
from typing import TYPE_CHECKING, Any, Protocol

from tracer.errors import OutputError
from tracer.sinks import repeater
from tracer.sinks.output import open_output

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks import Sink

    class Records(Protocol):
        """What knows the form of records: `tracer.decode.Decoder`."""

        @property
        def btf(self) -> Any:
            """Describes them."""

        def event(self, row: tuple[int, bytes]) -> Event:
            """The event of a record."""

        def without(self, event: Event, fields: Collection[str]) -> bytes:
            """The event's record behind its time, with nothing left of the text that these fields are made of."""


FORMAT, VERSION = "crypto-tracer recording", 2

FRAME = struct.Struct("<BI")
BTF, CLOCK, FACTS, DEFINITION, PLAIN, EVENTS, RESET = (ord(letter) for letter in "BCFDJER")
ONE_EVENT, NUMBER, OFFSET = struct.Struct("<IQ"), struct.Struct("<I"), struct.Struct("<q")

# What these raise for content of the wrong size.
FormError = struct.error

# Of one frame; events are written before they need more. How many definitions a reader has to remember.
LARGEST_FRAME, MOST_EVENTS, MOST_DEFINITIONS = 1 << 20, 4096, 4096

# Fields that differ between events of the same definition.
TIMES = ("time", "wall_ns")

# How often what has been compressed is brought to the disk.
FLUSH_S = 1.0

_MISSING = object()


class _Defined:
    """A definition in the file, and what the other sink needs to write such an event again."""

    __slots__ = ("facts", "generation", "inner", "number", "record")

    def __init__(self, facts: str, record: bytes) -> None:
        self.facts, self.record = facts, record
        self.generation = self.number = -1
        self.inner: Any = None


class Recording:
    """Passes events on to another sink, and keeps them in a file.

    Args:
        path: of the file, which must not be there yet or is replaced at the end of the run.
        sink: what gets the events, too.
        redacted: whether what is private is hidden in the events.

    Raises:
        OutputError: the file cannot be opened.
    """

    def __init__(self, path: str, sink: Sink, *, redacted: bool) -> None:
        self._sink = sink
        self._prepare, self._again = repeater(sink)
        self._path = path
        self._records: Records | None = None
        self._parts: list[bytes] = []
        self._facts: dict[str, int] = {}
        self._definitions: dict[tuple[str, bytes], int] = {}
        self._count = self._generation = 0
        self._events: list[bytes] = []
        self._offset_ns: int | None = None
        self._last: tuple[Event, _Defined] | None = None
        self._next_flush = 0.0
        # The same care as for any other output: whose link it is, who may read it.
        open_output(path, lambda: True).close()
        try:
            self._file = gzip.open(path, "wb", compresslevel=1)  # noqa: SIM115  closed at the end
        except OSError as error:
            raise OutputError(f"cannot open {path}: {error.strerror}") from error
        host = os.uname()
        head = {"format": FORMAT, "version": VERSION, "host": host.nodename, "kernel": host.release,
                "machine": host.machine, "redacted": redacted}  # fmt: skip
        self._parts.append(f"{json.dumps(head)}\n".encode("ascii"))

    def describe(self, records: Records) -> None:
        """Say what the records are like, before the first event."""
        self._records = records
        self._frame(BTF, records.btf.data)

    @property
    def written(self) -> int:
        """How many events have reached the other sink."""
        return self._sink.written

    def __enter__(self) -> Recording:
        self._sink.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._keep()
            self._guarded(self._file.close)
        finally:
            self._sink.__exit__(kind, error, trace)

    def write(self, event: Event) -> None:
        """Take one event."""
        time_ns, wall_ns = event.fields["time"], event.fields["wall_ns"]
        if event.record:
            defined = self._defined(event)
            self._last = event, defined
            self._add(defined, time_ns, wall_ns)
        else:
            self._add_plain(event, time_ns)
        self._sink.write(event)

    def prepare(self, event: Event) -> _Defined:
        """What `again` needs."""
        defined = self._last[1] if self._last and self._last[0] is event else self._defined(event)
        defined.inner = self._prepare(event)
        return defined

    def again(self, prepared: _Defined, time_ns: int, wall_ns: int) -> None:
        """Take the same event at another time."""
        self._add(prepared, time_ns, wall_ns)
        self._again(prepared.inner, time_ns, wall_ns)

    def flush(self) -> None:
        """Bring out all events so far; the file gets them once a second."""
        self._sink.flush()
        self._keep()
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + FLUSH_S
            self._guarded(self._file.flush)

    def _defined(self, event: Event) -> _Defined:
        """Take the event apart: its record, and what does not come from that."""
        assert self._records is not None
        record = event.record
        facts = self._more(event, record)
        bare = self._records.without(event, facts.keys())
        if bare != record:
            record = bare
            facts = self._more(event, record)
        return _Defined(json.dumps(facts, separators=(",", ":")), record)

    def _more(self, event: Event, record: bytes) -> dict[str, Any]:
        """What the event says and its record does not."""
        assert self._records is not None
        plain = self._records.event((0, record)).fields
        return {
            name: value
            for name, value in event.fields.items()
            if name not in TIMES and plain.get(name, _MISSING) != value
        }

    def _add(self, defined: _Defined, time_ns: int, wall_ns: int) -> None:
        if wall_ns - time_ns != self._offset_ns:
            self._put_events()
            self._offset_ns = wall_ns - time_ns
            self._frame(CLOCK, OFFSET.pack(self._offset_ns))
        if defined.generation != self._generation:
            self._define(defined)
        self._events.append(ONE_EVENT.pack(defined.number, time_ns))
        if len(self._events) >= MOST_EVENTS:
            self._put_events()

    def _define(self, defined: _Defined) -> None:
        key = (defined.facts, defined.record)
        number = self._definitions.get(key)
        if number is None:
            self._make_room()
            facts = self._facts.get(defined.facts)
            if facts is None:
                facts = self._facts[defined.facts] = len(self._facts)
                self._frame(FACTS, defined.facts.encode("ascii"))
            self._frame(DEFINITION, NUMBER.pack(facts) + defined.record)
            number = self._definitions[key] = self._count
            self._count += 1
        defined.number, defined.generation = number, self._generation

    def _add_plain(self, event: Event, time_ns: int) -> None:
        self._make_room()
        value = {"kind": event.kind.name, "fields": event.fields}
        self._frame(PLAIN, json.dumps(value, separators=(",", ":")).encode("ascii"))
        self._events.append(ONE_EVENT.pack(self._count, time_ns))
        self._count += 1

    def _make_room(self) -> None:
        if self._count >= MOST_DEFINITIONS:
            self._put_events()
            self._frame(RESET, b"")
            self._facts.clear()
            self._definitions.clear()
            self._count = 0
            self._generation += 1

    def _put_events(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._frame(EVENTS, b"".join(events))

    def _frame(self, letter: int, payload: bytes) -> None:
        self._parts += (FRAME.pack(letter, len(payload)), payload)

    def _keep(self) -> None:
        self._put_events()
        parts, self._parts = self._parts, []
        self._guarded(lambda: self._file.write(b"".join(parts)))

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error


class Nothing:
    """A sink that only counts: for a recording that nobody looks at yet.

    Attributes:
        written: how many events there were.
    """

    def __init__(self) -> None:
        self.written = 0

    def __enter__(self) -> Nothing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, event: Event) -> None:  # noqa: ARG002  as the others
        """Count one event."""
        self.written += 1

    def prepare(self, event: Event) -> Event:
        """For `again`."""
        return event

    def again(self, _prepared: Event, _time_ns: int, _wall_ns: int) -> None:
        """Count one event."""
        self.written += 1

    def flush(self) -> None:
        """There is nothing to bring out."""
