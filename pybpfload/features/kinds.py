"""Rows that follow from the kernel's own lists: types of programs and maps; and helpers.

A probe makes the smallest thing of its kind that the kernel takes. Where that would need a device, a
cgroup or the like, the errno of a try that must fail tells.
"""

from __future__ import annotations

import mmap
from functools import partial
from typing import Any, NamedTuple

from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.btf.types import Kind
from pybpfload.features.base import EXIT, EXIT_0, Feature, call, is_errno, kernel_type, load, loads, map_of
from pybpfload.uapi import AttachType as A
from pybpfload.uapi import MapFlag, MapType, ProgFlag
from pybpfload.uapi import ProgType as P

__all__ = ["MAP_TYPES", "PROG_TYPES", "WITH_HELPERS", "helper", "loaded_for"]

ENOTSUPP = 524  # of the kernel alone: C libraries have no name for it


class Shape(NamedTuple):
    """The least a map type takes."""

    key: int = 4
    value: int = 4
    entries: int = 1
    flags: int = 0


SHAPES = {
    MapType.STACK_TRACE: Shape(value=8),
    MapType.LPM_TRIE: Shape(8, 8, 1, MapFlag.NO_PREALLOC),
    MapType.CGROUP_STORAGE: Shape(16, 8, 0),
    MapType.PERCPU_CGROUP_STORAGE: Shape(16, 8, 0),
    MapType.QUEUE: Shape(key=0),
    MapType.STACK: Shape(key=0),
    MapType.BLOOM_FILTER: Shape(key=0),
    MapType.RINGBUF: Shape(0, 0, mmap.PAGESIZE),
    MapType.USER_RINGBUF: Shape(0, 0, mmap.PAGESIZE),
    MapType.ARENA: Shape(0, 0, 1, MapFlag.MMAPABLE),
    MapType.INSN_ARRAY: Shape(4, 16),
    MapType.RHASH: Shape(flags=MapFlag.NO_PREALLOC),
}
STORAGE = (MapType.SK_STORAGE, MapType.INODE_STORAGE, MapType.TASK_STORAGE, MapType.CGRP_STORAGE)
OUTER = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
INT = t.Int(1, "int", 4, 32, 0, 1)
CONTEXT = (
    INT,
    t.Composite(2, Kind.STRUCT, "__sk_buff", 4, (t.Member("len", 1, 0, 0),)),
    t.Ptr(3, 2),
    t.FuncProto(4, 1, (t.Param("skb", 3),)),
    t.Func(5, "f", 4, 1),
)


def _map(type: MapType) -> bool:
    shape = SHAPES.get(type, Shape())
    if type is MapType.STRUCT_OPS:
        return _struct_ops()
    if type in STORAGE:
        # Its elements belong to kernel objects, and their types have to be known.
        with sys_progs.load_btf(encode((INT,)), "probe") as btf:
            ids = {"btf_fd": btf.fileno(), "btf_key_type_id": 1, "btf_value_type_id": 1}
            with map_of(type, 4, 4, 0, map_flags=MapFlag.NO_PREALLOC, **ids):
                return True
    if type in OUTER:
        with map_of(MapType.ARRAY) as inner, map_of(type, inner_map_fd=inner):
            return True
    with map_of(type, shape.key, shape.value, shape.entries, map_flags=shape.flags):
        return True


def _struct_ops() -> bool:
    # No struct_ops has the first type of the kernel.
    result, _ = load(P.STRUCT_OPS, *EXIT_0)
    return is_errno(result, ENOTSUPP)


# Program type -> attach type, flags.
LOADED_FOR: dict[P, tuple[int, int]] = {
    P.CGROUP_SOCK_ADDR: (A.CGROUP_INET4_CONNECT, 0),
    P.CGROUP_SOCKOPT: (A.CGROUP_GETSOCKOPT, 0),
    P.SK_LOOKUP: (A.SK_LOOKUP, 0),
    P.LIRC_MODE2: (A.LIRC_MODE2, 0),
    P.SYSCALL: (0, ProgFlag.SLEEPABLE),
    P.NETFILTER: (A.NETFILTER, 0),
    P.TRACING: (A.TRACE_RAW_TP, 0),
    P.LSM: (A.LSM_MAC, 0),
}


def loaded_for(type: P) -> dict[str, Any]:
    """What has to be said for a program of a type to be loaded."""
    attach_type, flags = LOADED_FOR.get(type, (0, 0))
    btf_id = 0
    if type is P.TRACING:
        btf_id = kernel_type("btf_trace_sched_switch", Kind.TYPEDEF)
    elif type is P.LSM:
        btf_id = kernel_type("bpf_lsm_file_open")
    return {"attach_type": attach_type, "flags": flags, "btf_id": btf_id}


def _prog(type: P) -> bool:
    if type is P.STRUCT_OPS:
        return _struct_ops()
    if type is P.EXT:
        return _extension()
    return loads(type, *EXIT_0, **loaded_for(type))


def _extension() -> bool:
    with sys_progs.load_btf(encode(CONTEXT), "probe") as btf:
        function: dict[str, Any] = {"btf_fd": btf.fileno(), "functions": ((0, 5),)}
        result, _ = load(P.SOCKET_FILTER, *EXIT_0, **function)
        if result < 0:
            return is_errno(result)
        with Fd(result, "probe") as target:
            return loads(P.EXT, *EXIT_0, target_fd=target.fileno(), btf_id=5, **function)


# What the verifier says to a helper that it does not know, or not for this type. Its errno tells nothing:
# a known helper fails too, for want of arguments.
UNKNOWN = ("invalid func ", "unknown func ", "cannot use helper ")


def helper(type: P, number: int) -> bool:
    """Whether programs of a type may call a helper."""
    result, log = load(type, call(number), EXIT, log_size=1 << 14, **loaded_for(type))
    if result >= 0:
        Fd(result, "probe").close()
        return True
    if not log:
        is_errno(result)  # says so when it is for want of privilege
        return False
    return not any(text in log for text in UNKNOWN)


PROG_SINCE = {
    P.SOCKET_FILTER: "3.19", P.KPROBE: "4.1", P.SCHED_CLS: "4.1", P.SCHED_ACT: "4.1", P.TRACEPOINT: "4.7",
    P.XDP: "4.8", P.PERF_EVENT: "4.9", P.CGROUP_SKB: "4.10", P.CGROUP_SOCK: "4.10", P.LWT_IN: "4.10",
    P.LWT_OUT: "4.10", P.LWT_XMIT: "4.10", P.SOCK_OPS: "4.13", P.SK_SKB: "4.14", P.CGROUP_DEVICE: "4.15",
    P.SK_MSG: "4.17", P.RAW_TRACEPOINT: "4.17", P.CGROUP_SOCK_ADDR: "4.17", P.LWT_SEG6LOCAL: "4.18",
    P.LIRC_MODE2: "4.18", P.SK_REUSEPORT: "4.19", P.FLOW_DISSECTOR: "4.20", P.CGROUP_SYSCTL: "5.2",
    P.RAW_TRACEPOINT_WRITABLE: "5.2", P.CGROUP_SOCKOPT: "5.3", P.TRACING: "5.5", P.STRUCT_OPS: "5.6",
    P.EXT: "5.6", P.LSM: "5.7", P.SK_LOOKUP: "5.9", P.SYSCALL: "5.14", P.NETFILTER: "6.4",
}  # fmt: skip
MAP_SINCE = {
    MapType.HASH: "3.19", MapType.ARRAY: "3.19", MapType.PROG_ARRAY: "4.2", MapType.PERF_EVENT_ARRAY: "4.3",
    MapType.PERCPU_HASH: "4.6", MapType.PERCPU_ARRAY: "4.6", MapType.STACK_TRACE: "4.6",
    MapType.CGROUP_ARRAY: "4.8", MapType.LRU_HASH: "4.10", MapType.LRU_PERCPU_HASH: "4.10",
    MapType.LPM_TRIE: "4.11", MapType.ARRAY_OF_MAPS: "4.12", MapType.HASH_OF_MAPS: "4.12",
    MapType.DEVMAP: "4.14", MapType.SOCKMAP: "4.14", MapType.CPUMAP: "4.15", MapType.XSKMAP: "4.18",
    MapType.SOCKHASH: "4.18", MapType.CGROUP_STORAGE: "4.19", MapType.REUSEPORT_SOCKARRAY: "4.19",
    MapType.PERCPU_CGROUP_STORAGE: "4.20", MapType.QUEUE: "4.20", MapType.STACK: "4.20",
    MapType.SK_STORAGE: "5.2", MapType.DEVMAP_HASH: "5.4", MapType.STRUCT_OPS: "5.6", MapType.RINGBUF: "5.8",
    MapType.INODE_STORAGE: "5.10", MapType.TASK_STORAGE: "5.11", MapType.BLOOM_FILTER: "5.16",
    MapType.USER_RINGBUF: "6.1", MapType.CGRP_STORAGE: "6.2", MapType.ARENA: "6.9", MapType.INSN_ARRAY: "7.0",
    MapType.RHASH: "7.2",
}  # fmt: skip

PROG_TYPES = {
    f"prog:{one.name.lower()}": Feature(f"programs of type {one.name.lower()}", since, partial(_prog, one))
    for one, since in PROG_SINCE.items()
}
MAP_TYPES = {
    f"map:{one.name.lower()}": Feature(f"maps of type {one.name.lower()}", since, partial(_map, one))
    for one, since in MAP_SINCE.items()
}
# The types whose helpers can be told; those of extensions are their targets'.
WITH_HELPERS = [one for one in PROG_SINCE if one not in (P.EXT, P.STRUCT_OPS)]
