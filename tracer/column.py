# SPDX-License-Identifier: MIT
"""A value of an event that users see: what it is called, what it is, and where it comes from."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

# An array is one of strings, and the value of its field a tuple of them.
INTEGER, STRING, BOOLEAN, ARRAY = "integer", "string", "boolean", "array"


class Column(NamedTuple):
    """One value that users see.

    Attributes:
        name: as JSON has it.
        type: JSON type of the value.
        doc: one sentence for the documentation.
        source: the field it comes from, if that is called otherwise.
        show: from the field's value to the JSON value; None takes it as it is.
        nullable: whether JSON null says that it is unknown or that there is none.
    """

    name: str
    type: str
    doc: str
    source: str = ""
    show: Callable[[Any], Any] | None = None
    nullable: bool = False

    @property
    def field(self) -> str:
        """The event's field that the value comes from."""
        return self.source or self.name
