# SPDX-License-Identifier: MIT
"""The values of an event by their names in JSON, for formats that are not written at full speed."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from tracer.model import BOOLEAN

if TYPE_CHECKING:
    from tracer.model import Event


def event_values(event: Event) -> dict[str, Any]:
    """What JSON says of the event."""
    values: dict[str, Any] = {"event_type": event.kind.name}
    for column in event.kind.columns:
        value = event.fields[column.field]
        if column.show and not (column.nullable and value is None):
            value = column.show(value)
        values[column.name] = bool(value) if column.type == BOOLEAN and value is not None else value
    return values


def escaped(text: str) -> str:
    r"""The text in ASCII that can be printed, as JSON escapes it, but with quotes as they are.

    ``json.loads('"' + escaped.replace('"', '\\"') + '"')`` gives it back.
    """
    return encode_basestring_ascii(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f")
