# SPDX-License-Identifier: MIT
r"""A table with commas, as RFC 4180 has it: one row for each event, one column for each value that any kind has.

A cell of text is plain ASCII, with the escapes of JSON for what is not: ``\n``, ``\u00fc``, ``\udcff`` for the byte
0xff, ``\\`` for a backslash. A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula,
and names may be hostile: there the first character is an escape, too. `parse_cell` gives the text back.
A cell is empty where JSON has null, or the kind has no such value; a list is the text that JSON has for it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tracer.model import KINDS
from tracer.sinks.values import escaped, event_values

if TYPE_CHECKING:
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks.output import Output

COLUMNS = tuple(
    dict.fromkeys(["event_type", *(column.name for kind in KINDS if not kind.hidden for column in kind.columns)])
)

# Between the texts of an array.

_FORMULA = ("=", "+", "-", "@")


def cell(value: Any) -> str:
    """A value as a cell, quoted where it has to be."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = escaped(json.dumps(value) if isinstance(value, (list, tuple)) else str(value))
    if text.startswith(_FORMULA):
        text = f"\\u{ord(text[0]):04x}{text[1:]}"
    if "," in text or '"' in text or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def parse_cell(text: str) -> str:
    """The text of a cell, as a reader of CSV gives it."""
    found: str = json.loads('"' + text.replace('"', '\\"') + '"')
    return found


def row(event: Event) -> str:
    """An event as a line."""
    values = event_values(event)
    return ",".join(cell(values.get(name)) for name in COLUMNS) + "\n"


class Csv:
    """Writes each event as a row; the names come first, unless a file is gone on with."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rows: list[str] = []
        output.begin_with(",".join(COLUMNS) + "\n")

    @property
    def written(self) -> int:
        """How many events have reached the output."""
        return self._output.written

    def __enter__(self) -> Csv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.clear()

    def write(self, event: Event) -> None:
        """Take one event, for the next `flush`."""
        self._rows.append(row(event))

    def flush(self) -> None:
        """Bring out all rows so far.

        Raises:
            OutputError: the output takes no more.
        """
        if self._rows:
            rows, self._rows = self._rows, []
            self._output.write_lines(rows)
