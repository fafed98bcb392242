# SPDX-License-Identifier: MIT
"""The values of an event by their names in JSON, for formats that are not written at full speed."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Callable

from tracer.model import ARRAY, BOOLEAN

if TYPE_CHECKING:
    from tracer.model import Event


_AS_JSON: dict[str, Callable[[Any], Any]] = {BOOLEAN: bool, ARRAY: list}


def event_values(event: Event) -> dict[str, Any]:
    """What JSON says of the event."""
    values: dict[str, Any] = {"event_type": event.kind.name}
    for column in event.kind.columns:
        value = event.fields[column.field]
        if column.show and not (column.nullable and value is None):
            value = column.show(value)
        if value is not None and column.type in _AS_JSON:
            value = _AS_JSON[column.type](value)
        values[column.name] = value
    return values


def escaped(text: str) -> str:
    r"""The text in ASCII that can be printed, as JSON escapes it, but with quotes as they are.

    ``json.loads('"' + escaped.replace('"', '\\"') + '"')`` gives it back.
    """
    return encode_basestring_ascii(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f")
