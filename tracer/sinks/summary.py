# SPDX-License-Identifier: MIT
"""Counts as text, for people: written at the end.

Names are shown in ASCII, with the escapes of JSON for what is not, so that none can move the cursor of a terminal.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tracer.connections import Connections, connection_text, grade_counts
from tracer.sinks.values import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks.output import Output

# How many rows of each table are shown, and how many are counted: names may be made up without end.
SHOWN, COUNTED = 20, 100_000

OTHERS = "(others)"


class Tally:
    """Counts of things by name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """One more."""
        if name not in self._counts and len(self._counts) >= COUNTED:
            name = OTHERS
        self._counts[name] += 1

    def rows(self) -> list[str]:
        """The most frequent ones, as lines."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        lines = [f"{count:>8}  {escaped(name)}" for name, count in ranked[:SHOWN]]
        more = len(ranked) - SHOWN
        return [*lines, f"          and {more} more"] if more > 0 else lines


class Summary:
    """Counts events, and writes the counts at the end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.written = 0
        self._kinds, self._processes, self._files = Tally(), Tally(), Tally()
        self._failed, self._libraries = Tally(), Tally()
        self._connections = Connections()

    def __enter__(self) -> Summary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._output.write_text("".join(f"{line}\n" for line in self._lines()))

    def write(self, event: Event) -> None:
        """Count one event."""
        self.written += 1
        fields, kind = event.fields, event.kind
        source = fields.get("source")
        self._kinds.add(f"{kind.name} ({source})" if source else kind.name)
        self._connections.add(event)
        self._processes.add(f"{fields['comm']} ({fields.get('exe') or 'unknown'})")
        if kind.file:
            self._files.add(f"{fields['file_type']}  {fields[kind.file]}")
            if fields["result"]:
                column = next(column for column in kind.columns if column.name == "error")
                error = column.show(fields["result"]) if column.show else fields["result"]
                self._failed.add(f"{error}  {fields[kind.file]}  {fields['comm']}")
        elif kind.library:
            self._libraries.add(f"{fields['library_name']}  {fields[kind.library]}")

    def flush(self) -> None:
        """All is written at the end."""

    def _lines(self) -> Iterable[str]:
        yield f"{self.written} events"
        tables = (
            ("events", self._kinds),
            ("processes", self._processes),
            ("files", self._files),
            ("files that could not be opened", self._failed),
            ("libraries", self._libraries),
        )
        for title, tally in tables:
            rows = tally.rows()
            if rows:
                yield ""
                yield f"{title}:"
                yield from rows
        yield from self._connection_lines()

    def _connection_lines(self) -> Iterable[str]:
        """What was seen on the wire: grades, and kinds of connections, the worst first."""
        rows = self._connections.rows()
        if not rows:
            return
        yield ""
        yield "grades of connections (negotiated, as seen on the wire):"
        for grade, count in grade_counts(rows).items():
            yield f"{count:>8}  {grade}"
        yield ""
        yield "connections (process, peer, suite, group):"
        for row in rows[:SHOWN]:
            yield f"{row['count']:>8}  {escaped(connection_text(row))}"
        if len(rows) > SHOWN:
            yield f"          and {len(rows) - SHOWN} more"
