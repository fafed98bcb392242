"""Maps that are memory, or stand for something without elements."""

from __future__ import annotations

import mmap
from typing import Any

from pybpfload.maps.array import Indexed
from pybpfload.maps.base import Map
from pybpfload.maps.hash import Keyed

__all__ = ["Arena", "RingMap", "StructOpsMap"]


class RingMap(Map):
    """A ring buffer; a reader or writer of its own goes with it: `BpfObject.ring()`, `RingReader`.

    Its size in bytes is max_entries.
    """


class Arena(Map):
    """Memory that programs and user space share: max_entries pages, which come to be when they are used.

    Kernel: 6.9, 317460317a02.
    """

    @property
    def memory(self) -> mmap.mmap:
        """All of its pages. It belongs to the map and is closed with it."""
        return self._map_memory(self.max_entries * mmap.PAGESIZE)


class StructOpsMap(Indexed, Keyed):
    """A kernel struct of functions.

    Writing `BpfObject.struct_ops[name]` to index 0 registers it, deleting that undoes it.
    """

    def __len__(self) -> int:
        return self.max_entries

    def __iter__(self) -> Any:
        return iter(range(self.max_entries))
