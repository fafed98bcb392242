# SPDX-License-Identifier: MIT
"""Single facts from /proc/PID.

Processes end while we look at them. Every function here says so in one way, with `GoneError`, whatever
errno the kernel gave. A process that we may not look at is `HiddenError`.

A process id is used again, a start time is not: pid and start time together name one process for ever.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tracer.errors import TracerError

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
NS_PER_TICK = 1_000_000_000 // TICKS_PER_SECOND

# Fields of /proc/PID/stat after the name, which ends with the last parenthesis. See proc(5): the third
# field comes first here, and the start time is the 22nd.
START_TIME = 22 - 3
PARENT = 4 - 3


class GoneError(TracerError):
    """There is no such process, or it has no such thing: a kernel thread has no executable."""


class HiddenError(TracerError):
    """The kernel does not let us look."""


class Identity(NamedTuple):
    """Which process it is.

    Attributes:
        start_ticks: when it started, in clock ticks since boot.
        name: of its first thread, at most 15 bytes.
    """

    start_ticks: int
    name: str


def ticks(boot_ns: int) -> int:
    """A boot time as /proc has it: in whole clock ticks."""
    return boot_ns // NS_PER_TICK


def identity(pid: int) -> Identity:
    """Start time and name.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    raw = _read(pid, "stat")
    head, _, tail = raw.rpartition(b")")
    name = head.partition(b"(")[2]
    return Identity(int(tail.split()[START_TIME]), name.decode("utf-8", "surrogateescape"))


def parent(pid: int) -> int:
    """The id of the process that it is a child of; 0 for none.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    return int(_read(pid, "stat").rpartition(b")")[2].split()[PARENT])


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended: a zombie has."""
    try:
        return _read(pid, "stat").rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except HiddenError:
        return True
    except GoneError:
        return False


def running() -> list[int]:
    """The ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def executable(pid: int) -> str:
    """Where the executable lies, in the process's own view of the file system.

    The kernel adds " (deleted)" when it is there no more.

    Raises:
        GoneError: there is no such process, or it has no executable.
        HiddenError: we may not look.
    """
    try:
        raw = os.readlink(b"/proc/%d/exe" % pid)
    except OSError as error:
        raise translated(error, pid) from error
    return raw.decode("utf-8", "surrogateescape")


def _read(pid: int, name: str) -> bytes:
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 4096)
        finally:
            os.close(fd)
    except OSError as error:
        raise translated(error, pid) from error


def translated(error: OSError, pid: int) -> TracerError:
    """What an error at a file of /proc/PID means."""
    if isinstance(error, (FileNotFoundError, ProcessLookupError)):
        return GoneError(f"process {pid}: gone")
    # Not allowed, or not to be told: the path of a running executable may be longer than any path can be.
    return HiddenError(f"process {pid}: {error.strerror}")
