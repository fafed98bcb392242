"""Which class stands for which type of map. docs/maps.md shows the same, and a test compares."""

from __future__ import annotations

from typing import NamedTuple

from pybpfload.maps.array import ArrayMap
from pybpfload.maps.base import Map
from pybpfload.maps.handles import HandleHash, MapArray, MapHash, SlotMap
from pybpfload.maps.hash import HashMap
from pybpfload.maps.lpm import LpmTrie
from pybpfload.maps.memory import Arena, RingMap, StructOpsMap
from pybpfload.maps.queues import BloomFilter, QueueMap
from pybpfload.maps.stacks import StackTraces
from pybpfload.maps.storage import CgroupStorage, StorageMap
from pybpfload.uapi import MapType

__all__ = ["TABLE", "Row"]


class Row(NamedTuple):
    """One type.

    Attributes:
        cls: the class of its maps.
        btf: whether the kernel takes BTF for its keys and values.
    """

    cls: type[Map]
    btf: bool = True


TABLE: dict[MapType, Row] = {
    MapType.HASH: Row(HashMap),
    MapType.ARRAY: Row(ArrayMap),
    MapType.PROG_ARRAY: Row(SlotMap),
    MapType.PERF_EVENT_ARRAY: Row(SlotMap, btf=False),
    MapType.PERCPU_HASH: Row(HashMap),
    MapType.PERCPU_ARRAY: Row(ArrayMap),
    MapType.STACK_TRACE: Row(StackTraces, btf=False),
    MapType.CGROUP_ARRAY: Row(SlotMap, btf=False),
    MapType.LRU_HASH: Row(HashMap),
    MapType.LRU_PERCPU_HASH: Row(HashMap),
    MapType.LPM_TRIE: Row(LpmTrie),
    MapType.ARRAY_OF_MAPS: Row(MapArray, btf=False),
    MapType.HASH_OF_MAPS: Row(MapHash, btf=False),
    MapType.DEVMAP: Row(SlotMap, btf=False),
    MapType.SOCKMAP: Row(SlotMap, btf=False),
    MapType.CPUMAP: Row(SlotMap, btf=False),
    MapType.XSKMAP: Row(SlotMap, btf=False),
    MapType.SOCKHASH: Row(HandleHash, btf=False),
    MapType.CGROUP_STORAGE: Row(CgroupStorage),
    MapType.REUSEPORT_SOCKARRAY: Row(SlotMap),
    MapType.PERCPU_CGROUP_STORAGE: Row(CgroupStorage),
    MapType.QUEUE: Row(QueueMap, btf=False),
    MapType.STACK: Row(QueueMap, btf=False),
    MapType.SK_STORAGE: Row(StorageMap),
    MapType.DEVMAP_HASH: Row(HandleHash, btf=False),
    MapType.STRUCT_OPS: Row(StructOpsMap),
    MapType.RINGBUF: Row(RingMap),
    MapType.INODE_STORAGE: Row(StorageMap),
    MapType.TASK_STORAGE: Row(StorageMap),
    MapType.BLOOM_FILTER: Row(BloomFilter),
    MapType.USER_RINGBUF: Row(RingMap),
    MapType.CGRP_STORAGE: Row(StorageMap),
    MapType.ARENA: Row(Arena, btf=False),
    MapType.INSN_ARRAY: Row(ArrayMap),
    MapType.RHASH: Row(HashMap),
}
