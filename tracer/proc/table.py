# SPDX-License-Identifier: MIT
"""The executables of the processes that events come from.

An event says which process it was, by pid and start time, and /proc says what that process runs: now,
a few milliseconds later. In between the process may have ended, the pid may belong to another one, or
the process may run another program. So:

- the start time has to be the same, or the answer is not used;
- a first thread whose name differs from that in its event has begun another program since (or has
  renamed itself), and the answer is not used;
- the kernel's own name of the executable, which comes with the exec event, is used where /proc can no
  longer tell. It is what execve() was given: it may be relative, a link, or a script.

What is unknown is None, never a guess.

At its end a process has no executable any more. So those that run when tracing begins are looked at then.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from tracer.proc import reader

CAPACITY = 4096
LOOK_AROUND_S = 0.05

# pid and start time in clock ticks, which is all that /proc tells
Key = tuple[int, int]


class ProcessTable:
    """Executables by process; the least recently used are forgotten.

    Args:
        capacity: how many processes to remember.
        sees_exec: whether `executed` will be called at each exec. If not, nothing can be remembered:
            a process may change its executable at any time.
    """

    def __init__(self, *, capacity: int = CAPACITY, sees_exec: bool = True) -> None:
        self._capacity = capacity if sees_exec else 0
        self._known: OrderedDict[Key, str | None] = OrderedDict()

    @property
    def remembers(self) -> bool:
        """Whether an answer holds until the process executes something else, or ends."""
        return self._capacity > 0

    def __len__(self) -> int:
        return len(self._known)

    def executable(self, pid: int, start_ns: int, first_thread: str) -> str | None:
        """What the process runs, or None if nobody knows any more.

        Args:
            start_ns: when the process started, in nanoseconds since boot.
            first_thread: name of its first thread in the event, "" if the event is from another thread.
        """
        key = (pid, reader.ticks(start_ns))
        try:
            found = self._known[key]
        except KeyError:
            return self._remember(key, self._look(key, first_thread))
        self._known.move_to_end(key)
        return found

    def executed(self, pid: int, start_ns: int, first_thread: str, image: str) -> str | None:
        """The same for a process that has just begun to run `image`, as the kernel calls it."""
        key = (pid, reader.ticks(start_ns))
        found = self._look(key, first_thread)
        return self._remember(key, found if found is not None else image or None)

    def forked(self, pid: int, start_ns: int, child: int, child_start_ns: int) -> None:
        """A process made another one, which runs the same until it executes something else."""
        found = self._known.get((pid, reader.ticks(start_ns)))
        if found is not None:
            self._remember((child, reader.ticks(child_start_ns)), found)

    def ended(self, pid: int, start_ns: int) -> str | None:
        """What the process ran, if that is known; it is forgotten here."""
        return self._known.pop((pid, reader.ticks(start_ns)), None)

    def look_around(self, within_s: float = LOOK_AROUND_S) -> None:
        """Remember the processes that run now, the newest first, as far as the time allows; events wait meanwhile."""
        if not self._capacity:
            return
        until = time.monotonic() + within_s
        for pid in sorted(reader.running(), reverse=True)[: self._capacity]:
            try:
                found = reader.executable(pid)
                key = (pid, reader.identity(pid).start_ticks)
            except (reader.GoneError, reader.HiddenError):
                continue
            self._remember(key, found)
            if time.monotonic() > until:
                return

    def _remember(self, key: Key, found: str | None) -> str | None:
        if self._capacity:
            self._known[key] = found
            self._known.move_to_end(key)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return found

    @staticmethod
    def _look(key: Key, first_thread: str) -> str | None:
        pid, start_ticks = key
        try:
            # In this order: a process that is the right one now was the right one just before.
            found = reader.executable(pid)
            now = reader.identity(pid)
        except (reader.GoneError, reader.HiddenError):
            return None
        if now.start_ticks != start_ticks or (first_thread and first_thread != now.name):
            return None
        return found
