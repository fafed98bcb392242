# SPDX-License-Identifier: MIT
"""The copies of cryptographic libraries that run: in containers, deleted, and within executables.

A copy is one file. A uprobe belongs to a file, whichever process maps it, so each is to be found once:

- by the device and inode number in /proc/PID/maps, before anything is opened;
- by what stat(2) says of the file that was opened. On overlayfs each mount has a device of its own, but inode
  number and times are those of the file below, which all containers of one image share: there, the device does
  not count.

Files are opened through /proc/PID/map_files, which gives the mapped file itself; without the privilege for that, by
their name below /proc/PID/root, if that is still the same file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from tracer.catalog.libraries import Library, find_library
from tracer.errors import TracerError
from tracer.proc import maps, reader

# Where libraries lie that nobody uses yet: a short process would be over before its library is found.
FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
)
# Executables that have a library within, and where they are.
PROGRAMS = ("/usr/bin/node", "/usr/bin/nodejs", "/usr/local/bin/node")

MAX_MOUNTINFO = 1 << 20

FileKey = tuple[int, ...]
MapKey = tuple[tuple[int, int], int]


class Copy(NamedTuple):
    """A file that has, or may have, a library in it.

    Attributes:
        path: as the process that maps it sees it.
        library: what its name says; None for an executable.
        places: where it can be opened, the best first.
        key: from the mapping; None if the file was found by its name.
        pid: of a process that maps it, 0 if there is none.
    """

    path: str
    library: Library | None
    places: tuple[str, ...]
    key: MapKey | None
    pid: int


def mapped_by(pid: int) -> Iterator[Copy]:
    """The libraries that a process has mapped, and its executable.

    Raises:
        GoneError: there is no such process any more.
        HiddenError: we may not look.
    """
    mappings = maps.executable_mappings(pid)
    executable = reader.executable(pid).removesuffix(" (deleted)")
    for mapping in mappings:
        library = find_library(mapping.path)
        if library or mapping.path == executable:
            yield Copy(mapping.path, library, places_of(pid, mapping), (mapping.device, mapping.inode), pid)


def places_of(pid: int, mapping: maps.Mapping) -> tuple[str, ...]:
    """Where the file of a mapping can be opened."""
    by_name = () if mapping.deleted else (f"/proc/{pid}/root{mapping.path}",)
    return (maps.open_path(pid, mapping), *by_name)


def mapped() -> Iterator[Copy]:
    """The same for all processes that there are, each mapping of a file once."""
    seen: set[MapKey] = set()
    for pid in reader.running():
        try:
            for copy in mapped_by(pid):
                if copy.key not in seen:
                    seen.add(copy.key)  # type: ignore[arg-type]
                    yield copy
        except TracerError:
            continue


def keys_in_use() -> set[MapKey]:
    """The files that any process has mapped as code."""
    found: set[MapKey] = set()
    for pid in reader.running():
        try:
            found.update((mapping.device, mapping.inode) for mapping in maps.executable_mappings(pid))
        except TracerError:
            continue
    return found


def installed() -> Iterator[Copy]:
    """Libraries in the usual places of this host, and programs with one within."""
    for folder in FOLDERS:
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if ".so" in entry.name]
        except OSError:
            continue
        for name in sorted(names):
            path = f"{folder}/{name}"
            library = find_library(path)
            if library:
                yield Copy(os.path.realpath(path), library, (path,), None, 0)
    for path in PROGRAMS:
        if os.path.exists(path):
            yield Copy(path, None, (path,), None, 0)


def open_copy(copy: Copy) -> tuple[int, FileKey]:
    """A file descriptor of the file, and what tells it from all others.

    Raises:
        GoneError: there is no such file any more.
    """
    for place in copy.places:
        try:
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        found = os.fstat(fd)
        if copy.key and "/map_files/" not in place and found.st_ino != copy.key[1]:
            os.close(fd)
            continue
        own = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return fd, own if _is_overlay(found.st_dev, copy.pid) else (*own, found.st_dev)
    raise reader.GoneError(f"{copy.path}: gone")


def _is_overlay(device: int, pid: int) -> bool:
    """Whether a file system lies over others; process 0 is this one."""
    if os.major(device):
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}".encode()
    try:
        with open(f"/proc/{pid or 'self'}/mountinfo", "rb") as file:
            lines = file.read(MAX_MOUNTINFO).split(b"\n")
    except OSError:
        return False
    for line in lines:
        # 36 35 0:35 / / rw,noatime shared:1 - overlay overlay rw,lowerdir=...
        head, _, tail = line.partition(b" - ")
        parts = head.split(b" ", 3)
        if len(parts) == 4 and parts[2] == wanted:
            return tail.startswith(b"overlay ")
    return False
