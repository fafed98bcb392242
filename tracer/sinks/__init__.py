# SPDX-License-Identifier: MIT
"""Where events go: one module for each format.

`SINKS` has a row for each value of `--format`, in the order of the help. A module is imported only when
its format is chosen.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Protocol

    from tracer.model import Event
    from tracer.sinks.output import Output

    class Sink(Protocol):
        """What takes events. It is given its output and never opens one.

        It may have two more functions, for events that differ from an earlier one in nothing but their time:
        `prepare(event)` gives what `again(prepared, time_ns, wall_ns)` needs to write it at another time; see
        `repeater`.

        Leaving it as a context manager finishes what it writes, unless there was an error.

        Attributes:
            written: how many events have reached the output, or are part of what will.
        """

        @property
        def written(self) -> int:
            """So many."""

        def __enter__(self) -> Sink: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

        def write(self, event: Event) -> None:
            """Take one event; it may be kept until the next `flush`."""

        def flush(self) -> None:
            """Bring out all events so far."""


# format: module, class, what it is, whether it is one document
SINKS = {
    "json-stream": ("jsonl", "JsonLines", "one JSON object on each line", False),
    "json-lines": ("jsonl", "JsonLines", "the same", False),
    "json-array": ("array", "JsonArray", "one JSON array", True),
    "json-pretty": ("pretty", "JsonPretty", "indented JSON objects, one after the other", False),
    "summary": ("summary", "Summary", "counts, as text, at the end", True),
    "csv": ("table", "Csv", "a table for spreadsheets; see docs/events.md", False),
}

DEFAULT_FORMAT = "json-stream"

# What makes sense for a document: it is one object already.
DOCUMENT_FORMATS = ("json-stream", "json-lines", "json-array", "json-pretty", "summary")


def is_document(name: str) -> bool:
    """Whether a format gives one document, which is written as a whole."""
    return SINKS[name][3]


def make_sink(name: str, output: Output) -> Sink:
    """The sink of a format, which writes to `output`."""
    from importlib import import_module

    module, attribute, _, _ = SINKS[name]
    sink: Sink = getattr(import_module(f"tracer.sinks.{module}"), attribute)(output)
    return sink


def repeater(sink: Sink) -> tuple[Callable[[Event], Any], Callable[[Any, int, int], None]]:
    """The functions `prepare` and `again` of a sink; of one that has none, such that write the whole event."""
    own: Any = sink
    if hasattr(own, "prepare"):
        return own.prepare, own.again
    write = sink.write

    def again(first: Event, time_ns: int, wall_ns: int) -> None:
        write(type(first)(first.kind, {**first.fields, "time": time_ns, "wall_ns": wall_ns}, first.record))

    return lambda event: event, again
