"""Where objects can be pinned: file systems of type bpf."""

from __future__ import annotations

import errno
import os

from pybpfload._sys.bpf import error_of
from pybpfload.errors import SyscallError

__all__ = ["explain_refusal", "filesystem"]

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


def explain_refusal(error: SyscallError, path: str) -> SyscallError:
    """The error of a failed pin, which says when the path is not on a bpffs: the kernel only says EPERM."""
    if error.errno in (errno.EPERM, errno.EACCES, errno.EINVAL):
        kind = filesystem(path)
        if kind != "bpf":
            what = f"it is on a file system of type {kind or 'unknown'}, expected bpf"
            return error_of(error.errno, error.call, what)
    return error
