# SPDX-License-Identifier: MIT
"""A recording of events: a compact file that each view can be made of later, on any machine, without privilege.

It is gzip of lines of JSON. The first says what it is, and which fields each kind of event has; every other one is
an event: the number of its kind, and the values of these fields. Records of the kernel alone would not do: what
/proc knew at that moment, such as executables and containers, is gone later.

What is private is hidden in a recording as in any other output.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from typing import TYPE_CHECKING, Any

from tracer.errors import OutputError
from tracer.sinks.output import open_output

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks import Sink

FORMAT, VERSION = "crypto-tracer recording", 1

# How often what has been compressed is brought to the disk.
FLUSH_S = 1.0


class Recording:
    """Passes events on to another sink, and keeps them in a file.

    Args:
        path: of the file, which must not be there yet or is replaced at the end of the run.
        sink: what gets the events, too.

    Raises:
        OutputError: the file cannot be opened.
    """

    def __init__(self, path: str, sink: Sink) -> None:
        self._sink = sink
        self._path = path
        self._kinds: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._lines: list[str] = []
        self._next_flush = 0.0
        # The same care as for any other output: whose link it is, who may read it.
        open_output(path, lambda: True).close()
        try:
            self._file = gzip.open(path, "wb", compresslevel=1)  # noqa: SIM115  closed at the end
        except OSError as error:
            raise OutputError(f"cannot open {path}: {error.strerror}") from error
        host = os.uname()
        self._add({"format": FORMAT, "version": VERSION, "host": host.nodename, "kernel": host.release})

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
        known = self._kinds.get(event.kind.name)
        if known is None:
            known = self._kinds[event.kind.name] = (len(self._kinds), tuple(event.fields))
            self._add({"kind": event.kind.name, "fields": known[1]})
        number, names = known
        fields = event.fields
        self._add([number, *(fields.get(name) for name in names)])
        self._sink.write(event)

    def flush(self) -> None:
        """Bring out all events so far; the file gets them once a second."""
        self._sink.flush()
        self._keep()
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + FLUSH_S
            self._guarded(self._file.flush)

    def _add(self, value: Any) -> None:
        self._lines.append(json.dumps(value, separators=(",", ":")) + "\n")

    def _keep(self) -> None:
        lines, self._lines = self._lines, []
        data = "".join(lines).encode("ascii")
        self._guarded(lambda: self._file.write(data))

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error


def recording(path: str, sink: Sink) -> AbstractContextManager[Sink]:
    """The sink, with a recording in front of it if there is a path."""
    return Recording(path, sink) if path else sink
