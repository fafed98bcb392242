"""What the running kernel can do, found out by trying it: never by comparing versions.

A row is one small system call whose errno tells. Answers are kept for the life of the process.
"""

from __future__ import annotations

import errno
import mmap
from functools import cache
from typing import Callable, NamedTuple

from pybpfload import insn
from pybpfload._sys import attrs, bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys import maps as sys_maps
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.btf.types import Kind, Type
from pybpfload.uapi import AttachType, MapFlag, MapType, ProgType

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
    return sys_links.create_perf(-1 & 0xFFFFFFFF, -1, 0, AttachType.PERF_EVENT) == -errno.EBADF


def _mmapable() -> bool:
    attr = attrs.MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1)
    attr.map_flags = MapFlag.MMAPABLE
    return _creates(attr)


def _ring(map_type: MapType) -> Callable[[], bool]:
    return lambda: _creates(attrs.MapCreate(map_type=map_type, max_entries=mmap.PAGESIZE))


def _creates(attr: attrs.MapCreate) -> bool:
    try:
        sys_maps.create(attr, "probe").close()
    except OSError:
        return False
    return True


def _cookie_helper() -> bool:
    code = bytearray(2 * insn.SLOT)
    insn.write(code, 0, insn.Insn(insn.CALL, 0, 0, 0, 174))
    insn.write(code, 1, insn.Insn(insn.EXIT, 0, 0, 0, 0))
    text, gpl = bpf.buffer(bytes(code)), bpf.buffer(b"GPL\0")
    attr = attrs.ProgLoad(prog_type=ProgType.KPROBE, insn_cnt=2)
    attr.insns, attr.license = bpf.address_of(text), bpf.address_of(gpl)
    attr.keep(text, gpl)
    result, _ = sys_progs.load(attr, "probe")
    if result >= 0:
        Fd(result, "probe").close()
    return result >= 0


def _takes_btf(*types: Type) -> bool:
    try:
        sys_progs.load_btf(encode(types), "probe").close()
    except OSError:
        return False
    return True


INT = t.Int(1, "int", 4, 32, 0, 1)
FUNCTION = (INT, t.FuncProto(2, 0, (t.Param("a", 1),)))
VARIABLE = (INT, t.Var(2, "x", 1, t.Linkage.STATIC))


def _btf(*types: Type) -> Callable[[], bool]:
    return lambda: _takes_btf(*types)


FEATURES: dict[str, Feature] = {
    "perf_link": Feature("BPF links on perf events, with cookies", "5.15", _perf_link),
    "bpf_cookie": Feature("bpf_get_attach_cookie()", "5.15", _cookie_helper),
    "mmapable": Feature("array maps in user space's memory", "5.5", _mmapable),
    "ringbuf": Feature("ring buffers", "5.8", _ring(MapType.RINGBUF)),
    "user_ringbuf": Feature("user ring buffers", "6.1", _ring(MapType.USER_RINGBUF)),
    "btf": Feature("BTF", "4.18", _btf(INT)),
    "btf_func": Feature("BTF of functions", "5.0", _btf(*FUNCTION, t.Func(3, "f", 2, 0))),
    "btf_func_global": Feature("BTF of global functions", "5.6", _btf(*FUNCTION, t.Func(3, "f", 2, 1))),
    "btf_datasec": Feature(
        "BTF of sections", "5.2", _btf(*VARIABLE, t.Datasec(3, ".data", 4, (t.SectionVar(2, 0, 4),)))
    ),
    "btf_question_mark": Feature(
        "BTF of sections called ?...", "6.9", _btf(*VARIABLE, t.Datasec(3, "?.data", 4, (t.SectionVar(2, 0, 4),)))
    ),
    "btf_float": Feature("BTF of floating-point types", "5.13", _btf(t.Float(1, "float", 4))),
    "btf_decl_tag": Feature("BTF declaration tags", "5.16", _btf(*VARIABLE, t.DeclTag(3, "tag", 2, -1))),
    "btf_type_tag": Feature("BTF type tags", "5.17", _btf(INT, t.TypeTag(2, "tag", 1, False), t.Ptr(3, 2))),
    "btf_enum64": Feature(
        "BTF enums of 64 bits", "6.0", _btf(t.Enum(1, Kind.ENUM64, "", 8, False, (t.Enumerator("x", 1),)))
    ),
}


@cache
def has(name: str) -> bool:
    """Whether the kernel has a feature of the table."""
    return FEATURES[name].probe()
