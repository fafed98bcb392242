# SPDX-License-Identifier: MIT
"""What /proc says of a process that runs: who it is, what it has loaded, what it has open.

A process may end at any moment: each function raises `GoneError` then, and `HiddenError` if we may not look.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from tracer.catalog.filetypes import file_type
from tracer.catalog.libraries import Library, find_library
from tracer.errors import TracerError
from tracer.proc import reader
from tracer.proc.container import read_container
from tracer.proc.maps import Mapping, executable_mappings

# A process may have as many files open as it likes, and as many arguments.
MAX_FILES = 65536
MAX_ARGUMENTS = 1 << 17

DELETED = " (deleted)"


class Facts(NamedTuple):
    """Who a process is.

    Attributes:
        start_ticks: when it started, in clock ticks since boot.
        exe: its executable, or None if we may not know or it has none.
        container: id of its container, or None.
        pod: uid of its Kubernetes pod, or None.
    """

    pid: int
    name: str
    start_ticks: int
    ppid: int
    uid: int
    gid: int
    exe: str | None
    container: str | None
    pod: str | None = None


def facts(pid: int) -> Facts:
    """Who the process is.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    found = reader.identity(pid)
    status = _status(pid)
    try:
        exe: str | None = reader.executable(pid).removesuffix(DELETED)
    except (reader.GoneError, reader.HiddenError):
        exe = None
    try:
        container = read_container(pid)
    except (reader.GoneError, reader.HiddenError):
        container = None
    return Facts(
        pid,
        found.name,
        found.start_ticks,
        status["PPid"],
        status["Uid"],
        status["Gid"],
        exe,
        container.id if container else None,
        container.pod or None if container else None,
    )


def _status(pid: int) -> dict[str, int]:
    """Numbers of /proc/PID/status; the first of those that are several."""
    raw = _read(pid, "status", 1 << 16)
    found = {}
    for line in raw.split(b"\n"):
        name, _, value = line.partition(b":")
        if name in (b"PPid", b"Uid", b"Gid"):
            found[name.decode()] = int(value.split()[0])
    if len(found) < 3:
        raise reader.GoneError(f"process {pid}: gone")
    return found


def arguments(pid: int) -> tuple[str, ...]:
    """The arguments of its program, as they are now: a process may change them.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    raw = _read(pid, "cmdline", MAX_ARGUMENTS)
    if not raw:
        return ()
    return tuple(raw.decode("utf-8", "surrogateescape").removesuffix("\0").split("\0"))


def _read(pid: int, name: str, limit: int) -> bytes:
    raw = b""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while len(raw) < limit:
                chunk = os.read(fd, limit - len(raw))
                if not chunk:
                    break
                raw += chunk
        finally:
            os.close(fd)
    except OSError as error:
        raise reader.translated(error, pid) from error
    return raw


def libraries(pid: int) -> list[tuple[Mapping, Library]]:
    """The crypto libraries that it has loaded.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    return among(executable_mappings(pid))


def among(mappings: list[Mapping]) -> list[tuple[Mapping, Library]]:
    """The crypto libraries among the files that a process has mapped."""
    found = ((mapping, find_library(mapping.path)) for mapping in mappings)
    return [(mapping, library) for mapping, library in found if library]


def open_files(pid: int) -> list[str]:
    """The crypto files that it has open, each once.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)[:MAX_FILES]
    except OSError as error:
        raise reader.translated(error, pid) from error
    found = {}
    for name in names:
        try:
            raw = os.readlink(os.fsencode(f"{directory}/{name}"))
        except OSError:
            continue  # closed since, or a name that is too long
        path = raw.decode("utf-8", "surrogateescape").removesuffix(DELETED)
        if path.startswith("/") and file_type(path):
            found[path] = True
    return sorted(found)


def each(pids: list[int]) -> Iterator[Facts]:
    """Who these processes are; those that end meanwhile, or are hidden, are left out."""
    for pid in pids:
        try:
            yield facts(pid)
        except TracerError:
            continue


def wall_time_ns(start_ticks: int) -> int:
    """When a process started, in nanoseconds since 1970."""
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return boot_ns + start_ticks * reader.NS_PER_TICK
