"""What the running kernel can do, found out by trying it: never by comparing versions.

A row is one small system call whose errno tells. Answers are kept for the life of the process.
"""

from __future__ import annotations

import errno
from functools import cache
from typing import Callable, NamedTuple

from pybpfload._sys import attrs, bpf
from pybpfload.uapi import AttachType, MapFlag, MapType

__all__ = ["FEATURES", "Feature", "has"]


class Feature(NamedTuple):
    """One ability.

    Attributes:
        title: in the kernel's terms.
        since: the first version that has it, for people.
        probe: tries it.
    """

    title: str
    since: str
    probe: Callable[[], bool]


def _perf_link() -> bool:
    # A kernel that knows the attach type looks at the program first, and finds none.
    return bpf.link_create_perf(-1 & 0xFFFFFFFF, -1, 0, AttachType.PERF_EVENT) == -errno.EBADF


def _mmapable() -> bool:
    attr = attrs.MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1)
    attr.map_flags = MapFlag.MMAPABLE
    try:
        bpf.map_create(attr, "probe").close()
    except OSError:
        return False
    return True


FEATURES: dict[str, Feature] = {
    "perf_link": Feature("BPF links on perf events, with cookies", "5.15", _perf_link),
    "mmapable": Feature("array maps in user space's memory", "5.5", _mmapable),
}


@cache
def has(name: str) -> bool:
    """Whether the kernel has a feature of the table."""
    return FEATURES[name].probe()
