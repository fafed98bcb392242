"""Uprobes: a function of a file, whichever process runs over it."""

from __future__ import annotations

import os

from pybpfload._sys import perf
from pybpfload.errors import AttachError, BpfError
from pybpfload.links.base import Link
from pybpfload.links.tracing import attach_perf_event
from pybpfload.progs import Program
from pybpfload.symbols import file_offset_of

__all__ = ["attach_uprobe"]


def attach_uprobe(
    program: Program,
    path: str,
    symbol: str = "",
    *,
    offset: int = 0,
    ret: bool = False,
    pid: int = -1,
    cookie: int = 0,
) -> Link:
    """A function of a file.

    Args:
        path: of the executable or library; in another mount namespace through ``/proc/PID/root``.
        symbol: the function; "" takes `offset` alone, as an offset in the file.
        offset: in bytes from the function's first.
        ret: at its return instead of its entry.
        pid: one process, or -1 for all.

    Raises:
        AttachError: the file or function is not there, or the kernel refused.

    Kernel: 4.17, 33ea4b24277b.
    """
    target = f"{'uretprobe' if ret else 'uprobe'} {path}:{symbol or hex(offset)}"
    try:
        place = (file_offset_of(path, symbol) if symbol else 0) + offset
        event = perf.open_uprobe(os.fsencode(path), place, ret=ret, pid=pid)
    except (BpfError, OSError) as cause:
        raise AttachError(program.name, target, cause) from cause
    return attach_perf_event(program, event, target, cookie)
