# SPDX-License-Identifier: MIT
"""Libraries that processes have loaded already, as events: /proc knows of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from tracer.catalog.libraries import soname_version
from tracer.errors import TracerError
from tracer.model import KIND_BY_NAME, Event
from tracer.proc import facts, find, reader
from tracer.proc.libfile import LibraryFiles
from tracer.proc.pods import PodNames, PodTable
from tracer.proc.target import pid_namespace

PRESENT = "lib_present"

# What is private in such an event; see `tracer.decode.Decoder.private`.
PRIVATE = (("path", "path"),)


def present_libraries(pids: Iterable[int] | None = None) -> Iterator[Event]:
    """An event for each library that each process has loaded.

    Args:
        pids: of the processes to look at; all if None.
    """
    kind = KIND_BY_NAME[PRESENT]
    files, pods, mount, inside = LibraryFiles(), PodTable(), find.cgroup_mount(), pid_namespace()
    for pid in sorted(reader.running() if pids is None else pids):
        try:
            loaded = facts.libraries(pid)
            if not loaded:
                continue
            who = facts.facts(pid)
        except TracerError:
            continue  # it has ended, or we may not look
        cgroup = _cgroup(pid, mount)
        names = pods.find(who.container, who.pod) if who.container and who.pod else PodNames()
        for mapping, library in loaded:
            device = f"{mapping.device[0]}:{mapping.device[1]}"
            told = files.describe(pid, mapping.path, device, mapping.inode, library.family)
            yield Event(
                kind,
                {
                    "time": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
                    "wall_ns": time.time_ns(),
                    "start_time": who.start_ticks * reader.NS_PER_TICK,
                    "pid": pid,
                    "tid": pid,
                    "ppid": who.ppid,
                    "uid": who.uid,
                    "gid": who.gid,
                    "comm": who.name,
                    "exe": who.exe,
                    "path": mapping.path,
                    "library_name": library.name,
                    "family": library.family,
                    "version": told.version or soname_version(mapping.path) or None,
                    "build_id": told.build_id or None,
                    "deleted": mapping.deleted,
                    "inode": mapping.inode,
                    "device": device,
                    "mode": _mode(pid, mapping.path),
                    "cgroup": cgroup,
                    "container": who.container,
                    "host_pid": None if inside else pid,
                    "pod": who.pod,
                    "pod_name": names.pod or None,
                    "container_name": names.container or None,
                },
            )


def _mode(pid: int, path: str) -> int:
    try:
        return os.stat(f"/proc/{pid}/root{path}").st_mode
    except (OSError, ValueError):
        return 0


def _cgroup(pid: int, mount: str) -> int:
    """The id of its control group in version 2, 0 if it is not known."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if line.startswith("0::") and mount:
                    return os.stat(mount + line[3:].rstrip("\n")).st_ino
    except OSError:
        pass
    return 0
