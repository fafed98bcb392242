# SPDX-License-Identifier: MIT
"""Which file the code at an address of a process comes from.

/proc/PID/maps says that as long as the process runs. Many are over before they are asked, but the events of loaded
libraries have told where those are: of a process that was seen to begin, what is in none of them is no library's.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from tracer.errors import TracerError
from tracer.proc import maps, reader

if TYPE_CHECKING:
    from tracer.model import Event

CAPACITY = 1024
MAX_MISSES = 16
MAX_NOTED = 256

Key = tuple[int, int]
Range = tuple[int, int, str]


class _Known:
    """The executable ranges of one process, as they were last.

    Attributes:
        ranges: from /proc.
        noted: from events.
        whole: whether all libraries that it loaded are noted.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.ranges: list[Range] = []
        self.noted: list[Range] = []
        self.whole = whole
        self.misses = 0

    def find(self, address: int) -> str | None:
        for ranges in (self.ranges, self.noted):
            for start, end, path in ranges:
                if start <= address < end:
                    return path
        return None


class Callers:
    """Answers from what was read before, if it can; a process may load more, so a miss reads anew, some times."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, _Known] = OrderedDict()

    def notice(self, event: Event) -> None:
        """A program began, a library was loaded, or a process has a copy of all that."""
        fields, kind = event.fields, event.kind
        key = (fields["pid"], fields["start_time"])
        if kind.image:
            self._put(key, _Known(whole=True))
        elif kind.child and key in self._known:
            parent = self._known[key]
            child = _Known(whole=parent.whole)
            child.noted = [*parent.ranges, *parent.noted]
            self._put((fields["child"], fields["child_start_time"]), child)
        elif kind.name == "lib_load":
            known = self._of(key)
            if len(known.noted) < MAX_NOTED:
                known.noted.append((fields["address"], fields["address"] + fields["size"], fields["path"]))
            else:
                known.whole = False

    def find(self, pid: int, start_ns: int, address: int) -> str | None:
        """The path of the file, or None if nobody knows (any more): the code may be made at run time."""
        known = self._of((pid, start_ns))
        found = known.find(address)
        if found is None and known.misses < MAX_MISSES:
            known.misses += 1
            known.ranges = _ranges(pid, start_ns) or known.ranges
            found = known.find(address)
        return found

    def knows_libraries(self, pid: int, start_ns: int) -> bool:
        """Whether an address that `find` does not find is in no cryptographic library."""
        known = self._of((pid, start_ns))
        return known.whole or bool(known.ranges)

    def _of(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is None:
            known = _Known()
            self._put(key, known)
        return known

    def _put(self, key: Key, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)


def _ranges(pid: int, start_ns: int) -> list[Range]:
    try:
        if reader.identity(pid).start_ticks != reader.ticks(start_ns):
            return []
        return [(each.start, each.end, each.path) for each in maps.executable_mappings(pid)]
    except TracerError:
        return []
