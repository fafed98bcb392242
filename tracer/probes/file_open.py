# SPDX-License-Identifier: MIT
"""Opens of files that look like cryptography, failed ones included.

The kernel drops all others by two tables, which are filled from the catalog: `patterns` has suffixes and
whole names, `directories` has prefixes of absolute names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracer.catalog.filetypes import DIRECTORIES, patterns
from tracer.probes.base import Probe

if TYPE_CHECKING:
    from pybpfload import Map

# Only that an entry is there matters.
PRESENT = 1


def pattern_key(pattern: str) -> dict[str, bytes]:
    """The key of `patterns`: `struct ct_name`."""
    return {"text": pattern.encode("ascii")}


def directory_key(directory: str) -> dict[str, int | bytes]:
    """The key of `directories`: `struct ct_directory`, whose prefix is counted in bits."""
    path = directory.encode("ascii")
    return {"prefixlen": 8 * len(path), "path": path}


def fill(maps: Mapping[str, Map]) -> None:
    """Put the catalog into the kernel's tables."""
    maps["patterns"].update((pattern_key(pattern), PRESENT) for pattern in patterns())
    maps["directories"].update((directory_key(directory), PRESENT) for directory in DIRECTORIES)


FILE_OPEN = Probe("file_open", targets=fill)
