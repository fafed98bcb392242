# SPDX-License-Identifier: MIT
r"""One JSON object on each line.

The output is ASCII. Any bytes can be in a name, so any have to come out as valid JSON: control
characters and everything beyond ASCII as escapes, and bytes that are no UTF-8 as the lone surrogates
that Python and jq read (``\\udcff`` for 0xff; Python's `os.fsencode` gives the byte back).

A line is a template of its kind, filled in. That costs a quarter of what `json.dumps` does.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Callable

from tracer.clock import utc_text
from tracer.known import Known
from tracer.model import ARRAY, BOOLEAN, INTEGER, KINDS, STRING, Column, EventKind, Fields

if TYPE_CHECKING:
    from types import TracebackType

    from tracer.model import Event
    from tracer.sinks.output import Output


# How long a text may be whose quoted form is kept, and how many for each kind of event.
KEPT_SIZE, KEPT = 256, 1024

# The field of the time, which all kinds have first.
TIME = "wall_ns"

# An expression of Python for each JSON type, with a value for `{}`: the text that stands for the value in JSON.
EXPRESSIONS = {INTEGER: "{}", STRING: "quoted[{}]", BOOLEAN: "('true' if {} else 'false')",
               ARRAY: "'[' + ','.join(map(quoted.__getitem__, {})) + ']'"}  # fmt: skip


def line_head(kind: EventKind) -> str:
    """A line up to the text of the time, which comes first after the kind."""
    assert kind.columns[0].field == TIME
    return f'{{"event_type":{encode_basestring_ascii(kind.name)},"{kind.columns[0].name}":"'


def tail_writer(kind: EventKind) -> Callable[[Fields], str]:
    """A function from an event's fields to what its line has behind the time, newline included.

    It is put together as text from the table of columns, and costs half of what a loop over them does.
    """
    members = []
    for column in kind.columns[1:]:
        assert column.name.isidentifier()
        assert column.field.isidentifier()
        assert column.field != TIME
        members.append(f',"{column.name}":{{{_expression(column)}}}')
    source = f"lambda f: f'''\"{''.join(members)}}}}}\n'''"
    quoted = Known(encode_basestring_ascii, KEPT, KEPT_SIZE)
    shows = {f"show_{column.name}": column.show for column in kind.columns if column.show}
    function: Callable[[Fields], str] = eval(source, {"quoted": quoted, **shows})
    return function


def line_writer(kind: EventKind) -> Callable[[Fields], str]:
    """A function from an event's fields to its line, newline included."""
    head, tail = line_head(kind), tail_writer(kind)
    return lambda fields: f"{head}{utc_text(fields[TIME])}{tail(fields)}"


def _expression(column: Column) -> str:
    value = f"f['{column.field}']"
    if column.show:
        value = f"show_{column.name}({value})"
    text = EXPRESSIONS[column.type]
    if column.nullable:
        return f"('null' if (v := {value}) is None else {text.format('v')})"
    return text.format(value)


class JsonLines:
    """Writes each event as a line."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines: list[str] = []
        self._writers = {kind.name: line_writer(kind) for kind in KINDS}
        self._parts = {kind.name: (line_head(kind), tail_writer(kind)) for kind in KINDS}

    @property
    def written(self) -> int:
        """How many events have reached the output."""
        return self._output.written

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.clear()

    def write(self, event: Event) -> None:
        """Take one event, for the next `flush`."""
        self._lines.append(self._writers[event.kind.name](event.fields))

    def prepare(self, event: Event) -> tuple[str, str]:
        """The text before the time and behind it, for `again`."""
        head, tail = self._parts[event.kind.name]
        return head, tail(event.fields)

    def again(self, prepared: tuple[str, str], _time_ns: int, wall_ns: int) -> None:
        """Take the same event at another time, for the next `flush`."""
        self._lines.append(f"{prepared[0]}{utc_text(wall_ns)}{prepared[1]}")

    def flush(self) -> None:
        """Bring out all lines so far.

        Raises:
            OutputError: the output takes no more.
        """
        if self._lines:
            lines, self._lines = self._lines, []
            self._output.write_lines(lines)
