# SPDX-License-Identifier: MIT
"""The files that a process has mapped, from /proc/PID/maps.

A process may map as many files as it likes, under any name: what is read is bounded.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tracer.proc.reader import translated

# A browser has 300 KB of them. A process that has more than this hides something, or is very special.
MAX_BYTES = 8 << 20
CHUNK = 1 << 16

DELETED = b" (deleted)"


class Mapping(NamedTuple):
    """A file that is mapped with the permission to execute it.

    Attributes:
        path: as the process sees it, in its own mount namespace; without the kernel's ``" (deleted)"``.
        device: major and minor number of the file system. On btrfs and overlayfs, stat(2) may tell another one.
        inode: together with `device` it names the file.
        deleted: whether the name is gone; `open_path` still gives the file.
        start: lowest address of its first executable range.
        end: address after it.
    """

    path: str
    device: tuple[int, int]
    inode: int
    deleted: bool
    start: int
    end: int


def executable_mappings(pid: int) -> list[Mapping]:
    """The files that the process has mapped executably, each once, in the order of their addresses.

    Raises:
        GoneError: there is no such process.
        HiddenError: we may not look.
    """
    found: dict[tuple[tuple[int, int], int, str], Mapping] = {}
    for line in _lines(pid):
        mapping = parse_mapping(line)
        if mapping:
            found.setdefault((mapping.device, mapping.inode, mapping.path), mapping)
    return list(found.values())


def parse_mapping(line: bytes) -> Mapping | None:
    """One line of /proc/PID/maps; None if it is no file, or is not executable, or makes no sense."""
    # 7f00-8000 r-xp 00026000 fe:00 1234    /usr/lib/x86_64-linux-gnu/libc.so.6
    parts = line.split(None, 5)
    if len(parts) != 6 or parts[1][2:3] != b"x" or not parts[5].startswith(b"/"):
        return None
    try:
        start, end = (int(part, 16) for part in parts[0].split(b"-"))
        major, minor = (int(part, 16) for part in parts[3].split(b":"))
        inode = int(parts[4])
    except ValueError:
        return None
    # The kernel writes a newline in a name as \012, and nothing else so.
    name = parts[5].replace(b"\\012", b"\n")
    deleted = name.endswith(DELETED)
    path = (name[: -len(DELETED)] if deleted else name).decode("utf-8", "surrogateescape")
    return Mapping(path, (major, minor), inode, deleted, start, end)


def open_path(pid: int, mapping: Mapping) -> str:
    """A name by which this process can open the mapped file itself, deleted or in a container; needs privilege."""
    return f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"


def _lines(pid: int) -> list[bytes]:
    raw = bytearray()
    try:
        fd = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while len(raw) < MAX_BYTES:
                chunk = os.read(fd, CHUNK)
                if not chunk:
                    break
                raw += chunk
        finally:
            os.close(fd)
    except OSError as error:
        raise translated(error, pid) from error
    return bytes(raw).split(b"\n")
