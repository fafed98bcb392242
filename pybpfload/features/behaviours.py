"""Rows about how the kernel behaves where this library depends on it."""

from __future__ import annotations

import errno

from pybpfload._sys import links as sys_links
from pybpfload.features.base import EXIT, Feature, call, loads, map_of
from pybpfload.uapi import AttachType, MapFlag, MapType
from pybpfload.uapi import ProgType as P

__all__ = ["BEHAVIOURS"]


def _perf_link() -> bool:
    # A kernel that knows the attach type looks at the program first, and finds none.
    return sys_links.create_perf(-1 & 0xFFFFFFFF, -1, 0, AttachType.PERF_EVENT) == -errno.EBADF


def _mmapable() -> bool:
    with map_of(MapType.ARRAY, map_flags=MapFlag.MMAPABLE):
        return True


BEHAVIOURS: dict[str, Feature] = {
    "perf_link": Feature("BPF links on perf events, with cookies", "5.15", _perf_link),
    "bpf_cookie": Feature("bpf_get_attach_cookie()", "5.15", lambda: loads(P.KPROBE, call(174), EXIT)),
    "mmapable": Feature("array maps in user space's memory", "5.5", _mmapable),
}
