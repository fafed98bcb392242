# SPDX-License-Identifier: MIT
"""Where in a file the functions of the catalogs are.

Executables of Go have none: its stacks move, and the return of a function is caught on the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.catalog.counted import COUNTED_MARKERS, counted_of
from tracer.catalog.functions import MARKERS, functions_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pybpfload import SymbolFile
    from tracer.proc.copies import Copy

GO_SECTIONS = (".gopclntab", ".go.buildinfo", ".note.go.buildid")


def told(copy: Copy, file: SymbolFile) -> dict[int, int]:
    """Offset in the file -> row of `tracer.catalog.functions`."""
    wanted: dict[str, int] = {}
    if copy.library:
        wanted = functions_of(copy.library.family, copy.library.role)
    else:
        for family in _families(file, MARKERS):
            wanted.update(functions_of(family, within=True))
    return _offsets(file, wanted)


def counted(copy: Copy, file: SymbolFile) -> dict[int, int]:
    """Offset in the file -> row of `tracer.catalog.counted`."""
    wanted: dict[str, int] = {}
    if copy.library:
        wanted = counted_of(copy.library.family)
    else:
        for family in _families(file, COUNTED_MARKERS):
            wanted.update(counted_of(family))
    return _offsets(file, wanted)


def _families(file: SymbolFile, markers: Mapping[str, str]) -> list[str]:
    """Projects whose libraries are within an executable."""
    found = file.find(list(markers))
    if not found or any(map(file.has_section, GO_SECTIONS)):
        return []
    return [markers[marker] for marker in found]


def _offsets(file: SymbolFile, wanted: Mapping[str, int]) -> dict[int, int]:
    found = file.find(list(wanted)) if wanted else {}
    rows: dict[int, int] = {}
    for symbol, offset in found.items():
        rows.setdefault(offset, wanted[symbol])
    return rows
