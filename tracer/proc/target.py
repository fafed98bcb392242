# SPDX-License-Identifier: MIT
"""The processes that the user wants to watch."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

from tracer.errors import TracerError
from tracer.proc import reader
from tracer.proc.tree import descendants

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType


# The number of the first PID namespace: PROC_PID_INIT_INO in include/linux/proc_ns.h.
FIRST_PID_NAMESPACE = 0xEFFFFFFC


def pid_namespace() -> int:
    """The PID namespace of this process by its inode number, or 0 if it is that of the host.

    The kernel tells the host's ids, unless it is asked for those of another namespace.
    """
    try:
        found = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0  # no /proc: nobody knows
    return 0 if found == FIRST_PID_NAMESPACE else found


class Target:
    """A process, and whether it has ended; its id may belong to another one by then.

    Args:
        pid: 0 for no certain process, which never ends.

    Raises:
        TracerError: there is no such process.
    """

    def __init__(self, pid: int) -> None:
        self._fd = -1
        self._poll = select.poll()
        if pid:
            self._open(pid)

    def _open(self, pid: int) -> None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            raise TracerError(f"no process has the id {pid}", hint="ps -e lists those that run") from None
        except PermissionError:
            pass  # it exists
        try:
            # Kernel: 5.3. Some Python builds lack the function, since their kernel headers were older.
            self._fd = os.pidfd_open(pid)
        except (AttributeError, OSError) as error:
            if getattr(error, "errno", None) in (errno.EINVAL, errno.ENOENT):  # the latter since Linux 6.15
                raise TracerError(f"{pid} is a thread, expected the id of a process") from error
            return
        self._poll.register(self._fd, select.POLLIN)

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def ended(self) -> bool:
        """Whether the process is known to have ended."""
        return self._fd >= 0 and bool(self._poll.poll(0))


class Targets:
    """Several processes, and what descends from them as far as that is told.

    Args:
        pids: none for no certain processes, which never end.
        tree: whether their descendants count, too.

    Raises:
        TracerError: there is no such process.
    """

    def __init__(self, pids: Iterable[int], *, tree: bool = False) -> None:
        self.pids = tuple(pids)
        self._targets: list[Target] = []
        try:
            for pid in self.pids:
                self._targets.append(Target(pid))
        except TracerError:
            self.__exit__(None, None, None)
            raise
        self._gone: set[int] = set()
        self._children: set[int] | None = descendants(self.pids) - set(self.pids) if tree else None

    def __enter__(self) -> Targets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for target in self._targets:
            target.__exit__(kind, error, trace)

    def forked(self, pid: int, child: int) -> None:
        """A process made another one."""
        if self._children is not None and (pid in self._children or pid in self.pids):
            self._children.add(child)

    def seem_ended(self) -> bool:
        """Whether all that are known have ended. What they did before, forks for one, may still have to be told."""
        self._gone = set()
        if not self._targets or not all(target.ended for target in self._targets):
            return False
        # A zombie that nobody waits for has ended as well.
        self._gone = {pid for pid in self._children or () if not reader.is_alive(pid)}
        return len(self._gone) == len(self._children or ())

    def have_ended(self) -> bool:
        """Whether nobody was told of since all seemed to have ended; to be asked when all is told."""
        if self._children:
            self._children -= self._gone
        return not self._children
