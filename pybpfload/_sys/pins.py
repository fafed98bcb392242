"""Names for programs, maps and links, on file systems of type bpf."""

from __future__ import annotations

import errno
import os

from pybpfload._sys import attrs
from pybpfload._sys.bpf import address_of, bpf, buffer, error_of
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.uapi import Cmd

__all__ = ["filesystem", "open_pinned", "pin"]

MOUNTS = "/proc/self/mountinfo"


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def filesystem(path: str) -> str:
    """The type of the file system that a path is, or would be, on.

    Format: proc(5), `/proc/pid/mountinfo`: the fifth field is the mount point, the type follows a dash.
    """
    place = os.path.realpath(path)
    best, found = "", ""
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mount, _, rest = line.partition(" - ")
            point = _unescape(mount.split(" ")[4])
            inside = place == point or place.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):  # of two on one place, the later covers the earlier
                best, found = point, rest.split(" ")[0]
    return found


def pin(fd: int, path: str) -> None:
    """BPF_OBJ_PIN. The error says when the path is not on a bpffs: the kernel only says EPERM. Kernel: 4.4."""
    raw = buffer(os.fsencode(path) + b"\0")
    result = bpf(Cmd.OBJ_PIN, attrs.ObjPath(pathname=address_of(raw), bpf_fd=fd))
    if result >= 0:
        return
    detail = ""
    if -result in (errno.EPERM, errno.EACCES, errno.EINVAL):
        kind = filesystem(path)
        if kind != "bpf":
            detail = f"it is on a file system of type {kind or 'unknown'}, expected bpf"
    raise error_of(-result, f"BPF_OBJ_PIN {path}", detail)


@uninterrupted
def open_pinned(path: str, kind: str, flags: int = 0) -> Fd:
    """BPF_OBJ_GET: whatever is pinned there; the caller looks whether it is of the kind. Kernel: 4.4."""
    raw = buffer(os.fsencode(path) + b"\0")
    result = bpf(Cmd.OBJ_GET, attrs.ObjPath(pathname=address_of(raw), file_flags=flags))
    if result < 0:
        raise error_of(-result, f"BPF_OBJ_GET {path}")
    return Fd(result, f"{kind} at {path}")
