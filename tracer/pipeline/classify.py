# SPDX-License-Identifier: MIT
"""What kind of file or library an event is about."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tracer.catalog import filetypes
from tracer.catalog.libraries import find_library

if TYPE_CHECKING:
    from tracer.model import Event

_file_type = lru_cache(maxsize=1024)(filetypes.file_type)


def classify(event: Event) -> Event | None:
    """Sets `file_type`, or `library_name` and `family`; drops files and libraries that are none of ours."""
    kind, fields = event.kind, event.fields
    if kind.file:
        found = _file_type(fields[kind.file])
        if not found:
            return None
        fields["file_type"] = found
    elif kind.library:
        library = find_library(fields[kind.library])
        if not library:
            return None
        fields["library_name"] = library.name
        fields["family"] = library.family
    return event
