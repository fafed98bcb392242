# SPDX-License-Identifier: MIT
"""One JSON array of all events, an event on each line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.model import KINDS
from tracer.sinks.jsonl import line_writer

if TYPE_CHECKING:
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks.output import Output


class JsonArray:
    """Writes ``[``, the events with commas between them, and ``]`` at the end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._writers = {kind.name: line_writer(kind) for kind in KINDS}
        self._texts: list[str] = []
        self._before = "[\n"

    @property
    def written(self) -> int:
        """How many events have reached the output."""
        return self._output.written

    def __enter__(self) -> JsonArray:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
            self._output.write_text("[]\n" if self._before == "[\n" else "\n]\n")

    def write(self, event: Event) -> None:
        """Take one event, for the next `flush`."""
        self._texts.append(self._before + self._writers[event.kind.name](event.fields)[:-1])
        self._before = ",\n"

    def flush(self) -> None:
        """Bring out all events so far.

        Raises:
            OutputError: the output takes no more.
        """
        if self._texts:
            texts, self._texts = self._texts, []
            self._output.write_lines(texts)
