# SPDX-License-Identifier: MIT
"""Which file the code at an address of a process comes from."""

from __future__ import annotations

from collections import OrderedDict

from tracer.errors import TracerError
from tracer.proc import maps, reader

CAPACITY = 256
MAX_MISSES = 16

Key = tuple[int, int]


class _Known:
    """The executable ranges of one process, as they were last."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int, str]] = []
        self.misses = 0

    def find(self, address: int) -> str | None:
        return next((path for start, end, path in self.ranges if start <= address < end), None)


class Callers:
    """Answers from what was read before, if it can; a process may load more, so a miss reads anew, some times."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, _Known] = OrderedDict()

    def find(self, pid: int, start_ns: int, address: int) -> str | None:
        """The path of the file, or None if nobody knows (any more): the code may be made at run time."""
        key = (pid, start_ns)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            if len(self._known) > CAPACITY:
                self._known.popitem(last=False)
        found = known.find(address)
        if found is None and known.misses < MAX_MISSES:
            known.misses += 1
            known.ranges = _ranges(pid, start_ns) or known.ranges
            found = known.find(address)
        return found


def _ranges(pid: int, start_ns: int) -> list[tuple[int, int, str]]:
    try:
        if reader.identity(pid).start_ticks != reader.ticks(start_ns):
            return []
        return [(each.start, each.end, each.path) for each in maps.executable_mappings(pid)]
    except TracerError:
        return []
