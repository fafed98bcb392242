# SPDX-License-Identifier: MIT
"""From records of the kernel to the sink, each through all stages of the pipeline.

Most records repeat another one in all but their time: the same process opens the same file again, with the same
result. What the stages made of the first one holds for the others, and so does most of its text. So each record is
looked up, all bytes behind its time, before anything is decoded; to write it again is then one more call.

What makes an answer out of date is forgotten with it:

- Stages depend on the record, and on what is known of its process. That changes when the process executes something
  or ends: both are records too, and they come in order.
- An answer is only kept if the process's executable is known and may be remembered (see `tracer.pipeline.enrich`),
  or if the record was dropped before anybody asked for it.
- Kinds that change what is known, and those that a probe listens to, always go the whole way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tracer.model import KINDS, Event
from tracer.pipeline import run_stages
from tracer.sinks import repeater

if TYPE_CHECKING:
    from tracer.clock import BootClock
    from tracer.pipeline import Stages
    from tracer.rows import Row
    from tracer.sinks import Sink

# How many answers are kept, and of records of which size: processes choose what is in them. When there are too many,
# all are forgotten.
KEPT, KEPT_SIZE = 2048, 512

# The answer for a record that a stage has dropped.
DROPPED = ()

_NEVER = frozenset(kind.name for kind in KINDS if kind.ends or kind.image or kind.child or kind.hidden)


class Stream:
    """Takes records, and brings what is left of them to a sink.

    Args:
        decode: from records to events.
        stages: of the pipeline.
        sink: where the events go.
        clock: for wall-clock times.
        listened: kinds of events that are to be decoded each time.
        remembers: whether what is known of a process holds until it executes something or ends.
        notice: is told of each event that is decoded and is about processes, before the stages.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[Row]], Iterable[Event]],
        stages: Stages,
        sink: Sink,
        clock: BootClock,
        *,
        listened: Collection[str] = (),
        remembers: bool = True,
        notice: Callable[[Event], None] | None = None,
    ) -> None:
        self._decode, self._stages, self._sink, self._clock = decode, stages, sink, clock
        self._prepare, self._again = repeater(sink)
        self._never = _NEVER.union(listened)
        self._remembers = remembers
        self._notice = notice
        self._forms: dict[bytes, Any] = {}
        # Which of them belong to a process.
        self._of_pid: dict[int, list[bytes]] = {}

    def take(self, rows: Iterable[Row]) -> None:
        """Write what is left of records, in their order; the sink is not flushed."""
        find, again, first = self._forms.get, self._again, self._first
        offset_ns = self._clock.offset_ns
        for row in rows:
            form = find(row[1])
            if form is None:
                first(row)
            elif form:
                again(form, row[0], row[0] + offset_ns)

    def write(self, events: Iterable[Event]) -> None:
        """Write what is left of events that come from no single record."""
        for event in events:
            left = run_stages(self._stages, event)
            if left is not None:
                self._sink.write(left)

    def _first(self, row: Row) -> None:
        """A record that is not known, or must not be."""
        for event in self._decode((row,)):
            kind, fields = event.kind, event.fields
            if kind.child and self._notice:
                self._notice(event)
            pid = fields["pid"]
            left = run_stages(self._stages, event)
            if kind.ends or kind.image:
                self._forget(pid)
            elif (
                event.record == row[1]
                and len(row[1]) <= KEPT_SIZE
                and kind.name not in self._never
                and ("exe" not in fields or (self._remembers and fields["exe"] is not None))
            ):
                form = DROPPED if left is None else self._prepare(left)
                self._remember(row[1], pid, form)
                if form:
                    self._again(form, row[0], fields["wall_ns"])
                continue
            if left is not None:
                self._sink.write(left)

    def _remember(self, rest: bytes, pid: int, form: Any) -> None:
        if len(self._forms) >= KEPT:
            self._forms.clear()
            self._of_pid.clear()
        self._forms[rest] = form
        self._of_pid.setdefault(pid, []).append(rest)

    def _forget(self, pid: int) -> None:
        for rest in self._of_pid.pop(pid, ()):
            del self._forms[rest]
