# SPDX-License-Identifier: MIT
"""What the file of a library says of itself: its version and its build-id.

The file is opened through the process that has mapped it, so that it is the right one: deleted, in a container,
or replaced meanwhile. If the process is gone, the file of that name in our own view serves, if it is the same
file. Nothing is read from file systems that answer only when somebody else wants (FUSE, NFS): that could take
for ever. Everything read is bounded, for the file may be anything.
"""

from __future__ import annotations

import os
import re
import stat
from collections import OrderedDict
from typing import NamedTuple

from tracer.errors import TracerError
from tracer.proc import maps

CAPACITY = 512
MAX_SCAN = 16 << 20
MAX_MOUNTS = 1 << 20
CHUNK = 1 << 20
OVERLAP = 128

# A banner that stands in the file itself, by family. It is the first of all that match that counts.
BANNERS = {
    "OpenSSL": re.compile(rb"(?:OpenSSL|LibreSSL) (\d{1,3}\.\d{1,3}\.\d{1,3}[a-z]{0,2}(?:-[a-z0-9]{1,16})?)[ \0]"),
    "GnuTLS": re.compile(rb"\0(3\.\d{1,2}\.\d{1,3})\0"),
    "NSS": re.compile(rb"Version: (?:NSS|NSPR) (\d{1,2}\.\d{1,3}(?:\.\d{1,3})?)"),
    "Libgcrypt": re.compile(rb"This is Libgcrypt (\d{1,2}\.\d{1,3}\.\d{1,3})"),
    "libsodium": re.compile(rb"\0(1\.0\.\d{1,3})\0"),
    "Mbed TLS": re.compile(rb"[Mm]bed TLS (\d{1,2}\.\d{1,3}\.\d{1,3})\0"),
    "AWS-LC": re.compile(rb"AWS-LC (?:FIPS )?(\d{1,2}\.\d{1,3}\.\d{1,3})"),
    "Botan": re.compile(rb"Botan (\d{1,2}\.\d{1,3}\.\d{1,3})"),
    "libssh": re.compile(rb"libssh_(\d{1,2}\.\d{1,3}\.\d{1,3})"),
    "libssh2": re.compile(rb"libssh2_(\d{1,2}\.\d{1,3}\.\d{1,3})"),
}

SLOW = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "autofs", "virtiofs", "glusterfs", "lustre")

PT_NOTE, NT_GNU_BUILD_ID = 4, 3


class LibraryFile(NamedTuple):
    """What a file says.

    Attributes:
        version: "" if it does not say.
        build_id: in hexadecimal, or "".
    """

    version: str = ""
    build_id: str = ""


# Device as major:minor, inode.
Key = tuple[str, int]
_Stamp = tuple[int, int, int, int]


class LibraryFiles:
    """What the files of libraries say; each is read once."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Key, tuple[_Stamp, LibraryFile]] = OrderedDict()
        self._quick: OrderedDict[str, bool] = OrderedDict()

    def describe(self, pid: int, path: str, device: str, inode: int, family: str) -> LibraryFile:
        """What the file that a process has mapped says.

        Args:
            path: in the view of the process.
            device: of its file system, as ``major:minor``.
            family: whose banner to look for.
        """
        key = (device, inode)
        known = self._known.get(key)
        if not self.is_quick(pid, device):
            return LibraryFile()
        fd = _open(pid, path, device, inode)
        if fd < 0:
            return known[1] if known else LibraryFile()
        try:
            status = os.fstat(fd)
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if known and known[0] == stamp:
                self._known.move_to_end(key)
                return known[1]
            found = LibraryFile(find_banner(fd, family), find_build_id(fd))
        except OSError:
            return LibraryFile()
        finally:
            os.close(fd)
        self._known[key] = (stamp, found)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return found

    def is_quick(self, pid: int, device: str) -> bool:
        """Whether the file system answers by itself; those that nobody knows do not."""
        known = self._quick.get(device)
        if known is not None:
            return known
        for process in (str(pid), "self"):
            kind = filesystem(process, device)
            if kind:
                quick = not kind.startswith(SLOW)
                self._quick[device] = quick
                if len(self._quick) > self._capacity:
                    self._quick.popitem(last=False)
                return quick
        return False


def filesystem(process: str, device: str) -> str:
    """The type of a mounted file system as a process sees it, or ""."""
    try:
        fd = os.open(f"/proc/{process}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = _read(fd, MAX_MOUNTS)
        finally:
            os.close(fd)
    except OSError:
        return ""
    # 36 35 98:0 /root /mount options - type source options
    wanted = device.encode()
    for line in raw.split(b"\n"):
        parts = line.split(b" ", 3)
        if len(parts) == 4 and parts[2] == wanted:
            return parts[3].partition(b" - ")[2].partition(b" ")[0].decode("ascii", "replace")
    return ""


def _read(fd: int, limit: int) -> bytes:
    parts, left = [], limit
    while left > 0:
        chunk = os.read(fd, min(left, 1 << 16))
        if not chunk:
            break
        parts.append(chunk)
        left -= len(chunk)
    return b"".join(parts)


def _open(pid: int, path: str, device: str, inode: int) -> int:
    """The file that the process has mapped, or -1."""
    wanted = tuple(int(part) for part in device.split(":"))
    try:
        for mapping in maps.executable_mappings(pid):
            if mapping.inode == inode and mapping.device == wanted:
                fd = _open_regular(maps.open_path(pid, mapping), inode)
                if fd >= 0:
                    return fd
    except TracerError:
        pass
    for name in (f"/proc/{pid}/root{path}", path):
        fd = _open_regular(name, inode)
        if fd >= 0:
            return fd
    return -1


def _open_regular(name: str, inode: int) -> int:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return -1
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_ino == inode:
        return fd
    os.close(fd)
    return -1


def find_banner(fd: int, family: str) -> str:
    """The version in the banner of a family, or ""."""
    pattern = BANNERS.get(family)
    if not pattern:
        return ""
    before, at = b"", 0
    while at < MAX_SCAN:
        chunk = os.pread(fd, CHUNK, at)
        if not chunk:
            break
        found = pattern.search(before + chunk)
        if found:
            return found[1].decode("ascii")
        before = chunk[-OVERLAP:]
        at += len(chunk)
    return ""


def find_build_id(fd: int) -> str:
    """The build-id of an ELF file in hexadecimal, or ""."""
    head = os.pread(fd, 4096, 0)
    if head[:4] != b"\x7fELF" or len(head) < 64 or head[5] not in {1, 2}:
        return ""
    order = "little" if head[5] == 1 else "big"
    wide = head[4] == 2

    def number(data: bytes, at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    table = number(head, 32, 8) if wide else number(head, 28, 4)
    size = number(head, 54 if wide else 42, 2)
    count = min(number(head, 56 if wide else 44, 2), 64)
    if not 32 <= size <= 128 or table >= 1 << 62:
        return ""
    rows = os.pread(fd, size * count, table)
    for at in range(0, len(rows) - size + 1, size):
        row = rows[at : at + size]
        if number(row, 0, 4) != PT_NOTE:
            continue
        start = number(row, 8, 8) if wide else number(row, 4, 4)
        length = number(row, 32, 8) if wide else number(row, 16, 4)
        notes = os.pread(fd, min(length, 4096), start) if start < 1 << 62 else b""
        while len(notes) >= 12:
            owner, content = (number(notes, 0, 4) + 3) & ~3, number(notes, 4, 4)
            if number(notes, 8, 4) == NT_GNU_BUILD_ID and notes[12:16] == b"GNU\0" and 0 < content <= 64:
                return notes[12 + owner : 12 + owner + content].hex()
            notes = notes[12 + owner + ((content + 3) & ~3) :]
    return ""
