"""Which file a probe's path means: through a process's root, by a library's name, from what it has mapped."""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
from collections.abc import Iterator

from pybpfload.errors import ObjectError, printable

__all__ = ["debug_root", "mapped_at", "resolve"]

LIBRARY = re.compile(r"\.so(\.[\w.]+)?$")
LD_CACHE = "/etc/ld.so.cache"
CACHE_MAGIC = b"glibc-ld.so.cache1.1"
# Of an entry's flags, those that tell for which programs it is: glibc, sysdeps/generic/ldconfig.h.
CACHE_ABI = 0xFF00
OWN_ABI = {"x86_64": 0x0300, "aarch64": 0x0A00}
PLACES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
MAX_CACHE = 16 << 20
MAX_LINKS = 40  # as the kernel
DELETED = " (deleted)"


def resolve(path: str, pid: int = -1) -> str:
    """The file to open.

    Args:
        path: absolute; or a name: of a library (``libc.so.6``, ``libssl``) or of a program.
        pid: whose files: its mount namespace, and for names what it has mapped. -1 is this process's.

    Raises:
        ObjectError: nothing has this name; says where it was looked for.
        ProcessLookupError: there is no such process.
    """
    root = debug_root(pid)
    if root and not os.path.isdir(f"/proc/{pid}"):
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}")
    if "/" in path:
        # What names a process says itself whose file it is.
        return inside(root, path) if root and not path.startswith("/proc/") else path
    tried = []
    if pid >= 0:
        tried.append(f"what process {pid or os.getpid()} has mapped")
        for name, deleted_at in _mapped(pid or os.getpid()):
            if _is_called(name, path):
                return deleted_at or inside(root, name)
    if path.startswith("lib") or LIBRARY.search(path):
        tried += [LD_CACHE, *PLACES]
        for library in _libraries(root):
            if _is_called(library, path):
                return inside(root, library)
    else:
        tried.append("PATH")
        program = shutil.which(path) if not root else _program(root, path)
        if program:
            return inside(root, program)
    raise ObjectError(f"no file `{printable(path)}` (looked for in {', '.join(tried)})")


def debug_root(pid: int) -> str:
    """What stands before the paths of a process: nothing for our own, for its root need not be readable."""
    return f"/proc/{pid}/root" if pid > 0 and pid != os.getpid() else ""


def inside(root: str, path: str) -> str:
    """The file that a process with this root means by a path: links that are absolute begin at its root again.

    The kernel follows them from ours, which in a container is another file, or none. "" is our own root.

    Raises:
        OSError: a link cannot be read, or there are too many (ELOOP).
    """
    if not root:
        return path
    done: list[str] = []
    left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            del done[-1:]
            continue
        place = "/".join([root, *done, part])
        try:
            target = os.readlink(place)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # no link, or nothing: whoever opens it will see
                raise
            done.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            done.clear()
        left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    return "/".join([root, *done])


def _program(root: str, name: str) -> str | None:
    """A program of a process's root, by its name: where ours are looked for."""
    for folder in os.get_exec_path():
        if folder.startswith("/") and os.path.isfile(inside(root, f"{folder}/{name}")):
            return f"{folder}/{name}"
    return None


def _is_called(path: str, name: str) -> bool:
    """Whether a file goes by a name: ``libc``, ``libc.so``, ``libc.so.6`` or ``libc-2.31`` as it is."""
    base = path.rpartition("/")[2]
    return base == name or base.startswith((name + ".so", name + ".")) or base.partition(".so")[0] == name


def _mapped(pid: int) -> Iterator[tuple[str, str]]:
    """The files that a process runs code from; of one that is deleted meanwhile, also a path that opens the mapping."""
    seen = set()
    with open(f"/proc/{pid}/maps", "rb") as file:
        for line in file:
            parts = line.rstrip(b"\n").split(None, 5)
            if len(parts) < 6 or b"x" not in parts[1] or not parts[5].startswith(b"/") or parts[5] in seen:
                continue
            seen.add(parts[5])
            path = os.fsdecode(parts[5])
            if path.endswith(DELETED):
                link = f"/proc/{pid}/map_files/{os.fsdecode(parts[0])}"
                if os.path.exists(link):
                    yield path[: -len(DELETED)], link
                continue
            yield path, ""


def _libraries(root: str) -> Iterator[str]:
    """What the dynamic linker's cache names, then what lies in its usual places."""
    try:
        with open(root + LD_CACHE, "rb") as file:
            yield from _cached(file.read(MAX_CACHE))
    except OSError:
        pass
    for place in PLACES:
        try:
            yield from (f"{place}/{name}" for name in sorted(os.listdir(root + place)) if ".so" in name)
        except OSError:
            continue


def _cached(data: bytes) -> Iterator[str]:
    """The paths of an ld.so.cache: magic, number of entries, then 24 bytes each; offsets count from the magic.

    Those for programs of this machine's own kind come first: a library may be there for others too (i386, x32).
    """
    start = data.find(CACHE_MAGIC)
    if start < 0 or start + 48 > len(data):
        return
    data = data[start:]
    (count,) = struct.unpack_from("=I", data, 20)
    own = OWN_ABI.get(os.uname().machine)
    found = [struct.unpack_from("=I4xI", data, 48 + 24 * i) for i in range(min(count, (len(data) - 48) // 24))]
    for _, value in sorted(found, key=lambda entry: entry[0] & CACHE_ABI != own):
        end = data.find(b"\0", value)
        if 0 < value < end:
            yield os.fsdecode(data[value:end])


def mapped_at(pid: int, path: str, offset: int) -> int | None:
    """Where a process has the byte at an offset of a file; None when it has not mapped it as code."""
    wanted = os.stat(path)
    with open(f"/proc/{pid}/maps", "rb") as file:
        for line in file:
            parts = line.split(None, 5)
            if b"x" not in parts[1] or int(parts[4]) != wanted.st_ino:
                continue
            start, end = (int(x, 16) for x in parts[0].split(b"-"))
            at = int(parts[2], 16)
            if at <= offset < at + end - start:
                return start + offset - at
    return None
