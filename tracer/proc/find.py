# SPDX-License-Identifier: MIT
"""Processes and control groups by what users call them."""

from __future__ import annotations

import os
from typing import Callable

from tracer.errors import TracerError, UsageError
from tracer.proc import reader


def named(match: Callable[[str], bool]) -> list[int]:
    """The ids of processes whose first thread has a name that matches; this one is left out."""
    found = []
    for pid in reader.running():
        try:
            if pid != os.getpid() and match(reader.identity(pid).name):
                found.append(pid)
        except (reader.GoneError, reader.HiddenError):
            continue
    return sorted(found)


# The inode number of the control group that contains all others.
CGROUP_ROOT = 1


def cgroup_mounts(mounts: str) -> list[str]:
    """Where control groups of version 2 are mounted."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            return [parts[1] for parts in (line.split(" ") for line in lines) if parts[2] == "cgroup2"]
    except OSError:
        return []


def cgroup_mount(mounts: str = "/proc/self/mounts") -> str:
    """Where they are mounted first, or "" if they are not."""
    found = cgroup_mounts(mounts)
    return found[0] if found else ""


def whole_cgroup() -> str:
    """A mount of cgroup2 that shows all control groups, else the first, or "".

    A container's own shows its own group. A directory of the host may be mounted beside it; or process 1 is the
    host's, and its mounts can be reached.
    """
    own = cgroup_mounts("/proc/self/mounts")
    for path in (*own, *(f"/proc/1/root{path}" for path in cgroup_mounts("/proc/1/mounts"))):
        try:
            if os.stat(path).st_ino == CGROUP_ROOT:
                return path
        except OSError:
            continue  # not reached without privileges
    return own[0] if own else ""


def cgroup_directory(name: str) -> str:
    """The directory of a control group, by its path or by its name below the mount: ``system.slice``.

    Raises:
        UsageError: there is none of that name.
    """
    mount = cgroup_mount()
    candidates = [name] if name.startswith("/") else []
    if mount:
        candidates.append(os.path.join(mount, name.lstrip("/")))
    for path in candidates:
        if os.path.exists(os.path.join(path, "cgroup.procs")):
            return os.path.realpath(path)
    raise UsageError(f"--cgroup {name}: there is no such control group", hint="systemd-cgls lists those there are")


def cgroup_members(directory: str) -> set[int]:
    """The ids of the processes in a control group and in those below it.

    Raises:
        TracerError: it cannot be read.
    """
    found: set[int] = set()
    for path, _, _ in os.walk(directory):
        try:
            with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as lines:
                found.update(int(line) for line in lines)
        except FileNotFoundError:
            continue  # it has been removed
        except OSError as error:
            raise TracerError(f"cgroup {path}: {error.strerror}") from error
    return found
