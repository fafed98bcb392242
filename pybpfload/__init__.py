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
    with pybpfload.load(spec) as obj, obj.attach_all(), obj.ring("events") as ring:
        for event in ring.poll(timeout_s=0.2):
            print(event.pid, event.comm)

Importing this package imports next to nothing: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module

from pybpfload._version import __version__

TYPE_CHECKING = False  # as typing has it: importing typing takes longer than all else here

if TYPE_CHECKING:
    from pybpfload.btf.layout import RecordLayout as RecordLayout
    from pybpfload.links.attach import attach as attach
    from pybpfload.links.base import Link as Link
    from pybpfload.links.base import LinkSet as LinkSet
    from pybpfload.links.tracing import attach_raw_tracepoint as attach_raw_tracepoint
    from pybpfload.links.tracing import attach_tracepoint as attach_tracepoint
    from pybpfload.links.uprobe import attach_uprobe as attach_uprobe
    from pybpfload.maps.array import ArrayMap as ArrayMap
    from pybpfload.maps.base import Map as Map
    from pybpfload.maps.cpus import PerCpu as PerCpu
    from pybpfload.maps.create import create_map as create_map
    from pybpfload.maps.create import open_map as open_map
    from pybpfload.maps.hash import HashMap as HashMap
    from pybpfload.object import BpfObject as BpfObject
    from pybpfload.object import load as load
    from pybpfload.objectspec import ObjectSpec as ObjectSpec
    from pybpfload.objectspec import read_object as read_object
    from pybpfload.progs import Program as Program
    from pybpfload.ringbuf import RingReader as RingReader
    from pybpfload.spec import MapSpec as MapSpec
    from pybpfload.spec import ProgramSpec as ProgramSpec
    from pybpfload.targets import kernel_btf as kernel_btf
    from pybpfload.targets import read_btf as read_btf

# name -> the module that has it
_EXPORTS = {
    "ArrayMap": "maps.array",
    "BpfObject": "object",
    "HashMap": "maps.hash",
    "Link": "links.base",
    "LinkSet": "links.base",
    "Map": "maps.base",
    "MapSpec": "spec",
    "ObjectSpec": "objectspec",
    "PerCpu": "maps.cpus",
    "Program": "progs",
    "ProgramSpec": "spec",
    "RecordLayout": "btf.layout",
    "RingReader": "ringbuf",
    "attach": "links.attach",
    "attach_raw_tracepoint": "links.tracing",
    "attach_tracepoint": "links.tracing",
    "attach_uprobe": "links.uprobe",
    "create_map": "maps.create",
    "kernel_btf": "targets",
    "load": "object",
    "open_map": "maps.create",
    "read_btf": "targets",
    "read_object": "objectspec",
}

__all__ = [
    "ArrayMap",
    "BpfObject",
    "HashMap",
    "Link",
    "LinkSet",
    "Map",
    "MapSpec",
    "ObjectSpec",
    "PerCpu",
    "Program",
    "ProgramSpec",
    "RecordLayout",
    "RingReader",
    "__version__",
    "attach",
    "attach_raw_tracepoint",
    "attach_tracepoint",
    "attach_uprobe",
    "create_map",
    "kernel_btf",
    "load",
    "open_map",
    "read_btf",
    "read_object",
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
