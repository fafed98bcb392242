# SPDX-License-Identifier: MIT
"""What kind of file an event is about."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tracer.catalog import filetypes

if TYPE_CHECKING:
    from tracer.model import Event

_file_type = lru_cache(maxsize=1024)(filetypes.file_type)


def classify(event: Event) -> Event | None:
    """Sets `file_type`; drops files that are none of ours."""
    field = event.kind.file
    if not field:
        return event
    fields = event.fields
    found = _file_type(fields[field])
    if not found:
        return None
    fields["file_type"] = found
    return event
