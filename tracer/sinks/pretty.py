# SPDX-License-Identifier: MIT
"""Indented JSON objects, one after the other. jq reads them as it reads lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tracer.sinks.values import event_values

if TYPE_CHECKING:
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks.output import Output


class JsonPretty:
    """Writes each event as an indented object."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._texts: list[str] = []

    @property
    def written(self) -> int:
        """How many events have reached the output."""
        return self._output.written

    def __enter__(self) -> JsonPretty:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._texts.clear()

    def write(self, event: Event) -> None:
        """Take one event, for the next `flush`."""
        self._texts.append(json.dumps(event_values(event), indent=2) + "\n")

    def flush(self) -> None:
        """Bring out all events so far.

        Raises:
            OutputError: the output takes no more.
        """
        if self._texts:
            texts, self._texts = self._texts, []
            self._output.write_lines(texts)
