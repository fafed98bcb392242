"""Load eBPF objects in pure Python.

::

    read_object() ─► ObjectSpec          what the file says; change it freely; no privilege
                        │ load()
                        ▼
                     BpfObject           maps and programs in the kernel; owns file descriptors
                        │ attach(), attach_all()
                        ▼
                     Link                attached until it is closed

    import pybpfload

    spec = pybpfload.read_object("opens.bpf.o")
    spec.variables["targ_tgid"] = 1234
    with pybpfload.load(spec) as obj, obj.attach_all(), obj.events("events") as events:
        for event in events:
            print(event.pid, event.comm)

Importing this package imports next to nothing: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module

from pybpfload._version import __version__

TYPE_CHECKING = False  # as typing has it: importing typing takes longer than all else here

if TYPE_CHECKING:
    from pybpfload._sys.caps import change_user as change_user
    from pybpfload._sys.caps import limit_capabilities as limit_capabilities
    from pybpfload._sys.caps import without_capabilities as without_capabilities
    from pybpfload._sys.memory import give_back_memory as give_back_memory
    from pybpfload.btf.layout import RecordLayout as RecordLayout
    from pybpfload.btf.record import RecordReader as RecordReader
    from pybpfload.events import EventReader as EventReader
    from pybpfload.events import ReaderStats as ReaderStats
    from pybpfload.links.attach import attach as attach
    from pybpfload.links.base import Link as Link
    from pybpfload.links.base import LinkSet as LinkSet
    from pybpfload.links.base import link_from_id as link_from_id
    from pybpfload.links.base import open_link as open_link
    from pybpfload.links.cgroup import attach_cgroup as attach_cgroup
    from pybpfload.links.event import attach_perf_event as attach_perf_event
    from pybpfload.links.info import LinkInfo as LinkInfo
    from pybpfload.links.iter import IterLink as IterLink
    from pybpfload.links.iter import attach_iter as attach_iter
    from pybpfload.links.kprobe import attach_kprobe as attach_kprobe
    from pybpfload.links.kprobe import attach_kprobe_multi as attach_kprobe_multi
    from pybpfload.links.kprobe import attach_ksyscall as attach_ksyscall
    from pybpfload.links.net import attach_netkit as attach_netkit
    from pybpfload.links.net import attach_tc as attach_tc
    from pybpfload.links.net import attach_xdp as attach_xdp
    from pybpfload.links.sock import attach_netfilter as attach_netfilter
    from pybpfload.links.sock import attach_netns as attach_netns
    from pybpfload.links.sock import attach_socket as attach_socket
    from pybpfload.links.sock import attach_sockmap as attach_sockmap
    from pybpfload.links.tracing import attach_freplace as attach_freplace
    from pybpfload.links.tracing import attach_raw_tracepoint as attach_raw_tracepoint
    from pybpfload.links.tracing import attach_tracepoint as attach_tracepoint
    from pybpfload.links.tracing import attach_tracing as attach_tracing
    from pybpfload.links.uprobe import attach_uprobe as attach_uprobe
    from pybpfload.links.uprobe import attach_uprobe_multi as attach_uprobe_multi
    from pybpfload.links.usdt import attach_usdt as attach_usdt
    from pybpfload.listing import list_links as list_links
    from pybpfload.listing import list_maps as list_maps
    from pybpfload.loader import load as load
    from pybpfload.maps.array import ArrayMap as ArrayMap
    from pybpfload.maps.base import Map as Map
    from pybpfload.maps.cpus import PerCpu as PerCpu
    from pybpfload.maps.create import create_map as create_map
    from pybpfload.maps.create import open_map as open_map
    from pybpfload.maps.hash import HashMap as HashMap
    from pybpfload.object import BpfObject as BpfObject
    from pybpfload.objectspec import ObjectSpec as ObjectSpec
    from pybpfload.objectspec import read_object as read_object
    from pybpfload.perfbuf import PerfReader as PerfReader
    from pybpfload.progs.info import ProgramInfo as ProgramInfo
    from pybpfload.progs.info import RunStats as RunStats
    from pybpfload.progs.info import list_programs as list_programs
    from pybpfload.progs.program import Program as Program
    from pybpfload.progs.program import RunResult as RunResult
    from pybpfload.progs.program import open_program as open_program
    from pybpfload.ringbuf import RingReader as RingReader
    from pybpfload.spec import MapSpec as MapSpec
    from pybpfload.spec import ProgramSpec as ProgramSpec
    from pybpfload.symbols.lookup import SymbolFile as SymbolFile
    from pybpfload.targets import forget_kernel_btf as forget_kernel_btf
    from pybpfload.targets import kernel_btf as kernel_btf
    from pybpfload.targets import read_btf as read_btf
    from pybpfload.userring import UserRing as UserRing

# name -> the module that has it
_EXPORTS = {
    "ArrayMap": "maps.array",
    "BpfObject": "object",
    "EventReader": "events",
    "HashMap": "maps.hash",
    "IterLink": "links.iter",
    "Link": "links.base",
    "LinkInfo": "links.info",
    "LinkSet": "links.base",
    "Map": "maps.base",
    "MapSpec": "spec",
    "ObjectSpec": "objectspec",
    "PerCpu": "maps.cpus",
    "PerfReader": "perfbuf",
    "Program": "progs.program",
    "ProgramInfo": "progs.info",
    "ProgramSpec": "spec",
    "ReaderStats": "events",
    "RecordLayout": "btf.layout",
    "RecordReader": "btf.record",
    "RingReader": "ringbuf",
    "RunResult": "progs.program",
    "RunStats": "progs.info",
    "SymbolFile": "symbols.lookup",
    "UserRing": "userring",
    "attach": "links.attach",
    "attach_cgroup": "links.cgroup",
    "attach_freplace": "links.tracing",
    "attach_iter": "links.iter",
    "attach_kprobe": "links.kprobe",
    "attach_kprobe_multi": "links.kprobe",
    "attach_ksyscall": "links.kprobe",
    "attach_netfilter": "links.sock",
    "attach_netkit": "links.net",
    "attach_netns": "links.sock",
    "attach_perf_event": "links.event",
    "attach_raw_tracepoint": "links.tracing",
    "attach_socket": "links.sock",
    "attach_sockmap": "links.sock",
    "attach_tc": "links.net",
    "attach_tracepoint": "links.tracing",
    "attach_tracing": "links.tracing",
    "attach_uprobe": "links.uprobe",
    "attach_uprobe_multi": "links.uprobe",
    "attach_usdt": "links.usdt",
    "attach_xdp": "links.net",
    "change_user": "_sys.caps",
    "create_map": "maps.create",
    "forget_kernel_btf": "targets",
    "kernel_btf": "targets",
    "give_back_memory": "_sys.memory",
    "limit_capabilities": "_sys.caps",
    "link_from_id": "links.base",
    "list_links": "listing",
    "list_maps": "listing",
    "list_programs": "progs.info",
    "load": "loader",
    "open_link": "links.base",
    "open_map": "maps.create",
    "open_program": "progs.program",
    "read_btf": "targets",
    "read_object": "objectspec",
    "without_capabilities": "_sys.caps",
}

__all__ = [
    "ArrayMap",
    "BpfObject",
    "EventReader",
    "HashMap",
    "IterLink",
    "Link",
    "LinkInfo",
    "LinkSet",
    "Map",
    "MapSpec",
    "ObjectSpec",
    "PerCpu",
    "PerfReader",
    "Program",
    "ProgramInfo",
    "ProgramSpec",
    "ReaderStats",
    "RecordLayout",
    "RecordReader",
    "RingReader",
    "RunResult",
    "RunStats",
    "SymbolFile",
    "UserRing",
    "__version__",
    "attach",
    "attach_cgroup",
    "attach_freplace",
    "attach_iter",
    "attach_kprobe",
    "attach_kprobe_multi",
    "attach_ksyscall",
    "attach_netfilter",
    "attach_netkit",
    "attach_netns",
    "attach_perf_event",
    "attach_raw_tracepoint",
    "attach_socket",
    "attach_sockmap",
    "attach_tc",
    "attach_tracepoint",
    "attach_tracing",
    "attach_uprobe",
    "attach_uprobe_multi",
    "attach_usdt",
    "attach_xdp",
    "change_user",
    "create_map",
    "forget_kernel_btf",
    "give_back_memory",
    "kernel_btf",
    "limit_capabilities",
    "link_from_id",
    "list_links",
    "list_maps",
    "list_programs",
    "load",
    "open_link",
    "open_map",
    "open_program",
    "read_btf",
    "read_object",
    "without_capabilities",
]


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
