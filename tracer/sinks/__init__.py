# SPDX-License-Identifier: MIT
"""Where events go: one module for each format.

`SINKS` has a row for each value of `--format`, in the order of the help. A module is imported only when
its format is chosen.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    from tracer.model import Event
    from tracer.sinks.output import Output

    class Sink(Protocol):
        """What takes events. It is given its output and never opens one.

        Attributes:
            written: how many events have reached the output.
        """

        written: int

        def __enter__(self) -> Sink: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

        def write(self, event: Event) -> None:
            """Take one event; it may be kept until the next `flush`."""

        def flush(self) -> None:
            """Bring out all events so far."""


# format: module, class, what the help says
SINKS = {
    "json-stream": ("jsonl", "JsonLines", "one JSON object on each line"),
}

DEFAULT_FORMAT = "json-stream"


def make_sink(name: str, output: Output) -> Sink:
    """The sink of a format, which writes to `output`."""
    from importlib import import_module

    module, attribute, _ = SINKS[name]
    sink: Sink = getattr(import_module(f"tracer.sinks.{module}"), attribute)(output)
    return sink
