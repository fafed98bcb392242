# SPDX-License-Identifier: MIT
"""What the user asked for, as far as capture is concerned."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple


class Settings(NamedTuple):
    """What to capture, and how much of it to show. An event has to pass all filters.

    Attributes:
        own_pid: the tracer's own process, whose doings are never reported.
        pid: the only process to watch, or 0 for all.
        redact: whether private parts are hidden.
        tree: processes to watch with all that descends from them, or () for all.
        name: what the name of the thread has to contain, the case of A to Z aside, or "".
        uid: the only real user id to watch, as the host has it, or None for all.
        cgroup: directory of a cgroup v2, to watch what runs in it or below, or "".
        pid_ns: the PID namespace whose ids are meant, by its inode number, and outside of which nothing is reported; 0
            for that of the host.
        token: directory of a bpffs whose token stands for capabilities, or "".
        deep: whether calls of functions that are called very often are counted.
        asked: whether a process is one to watch, by the fields of its events; what the kernel cannot compare by itself.
            It answers None if that is not known. None if the kernel compares all.
    """

    own_pid: int
    pid: int = 0
    redact: bool = True
    tree: tuple[int, ...] = ()
    name: str = ""
    uid: int | None = None
    cgroup: str = ""
    token: str = ""
    pid_ns: int = 0
    deep: bool = False
    asked: Callable[[dict[str, Any]], bool | None] | None = None
