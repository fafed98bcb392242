"""Our numbers and structs are the running kernel's."""

from __future__ import annotations

import ctypes

import pytest

from pybpfload import kernel_btf, uapi
from pybpfload._sys import attrs
from pybpfload._sys import link_attrs as la
from pybpfload.btf import Kind
from pybpfload.btf import types as t
from pybpfload.btf.layout import layout_of
from tests.support.needs import need

pytestmark = pytest.mark.kernel

ENUMS = {
    "Cmd": ("bpf_cmd", "BPF_"),
    "MapType": ("bpf_map_type", "BPF_MAP_TYPE_"),
    "ProgType": ("bpf_prog_type", "BPF_PROG_TYPE_"),
    "AttachType": ("bpf_attach_type", "BPF_"),
    "LinkType": ("bpf_link_type", "BPF_LINK_TYPE_"),
    "PerfType": ("perf_type_id", "PERF_TYPE_"),
}


@pytest.mark.parametrize("name", ENUMS)
def test_enum_members_have_the_kernels_values(name):
    """Every member that this kernel knows."""
    enum, prefix = ENUMS[name]
    values = kernel_btf().enum_values(enum)
    known = {m.name: values[prefix + m.name] for m in getattr(uapi, name) if prefix + m.name in values}
    assert len(known) > 4
    assert known == {n: int(getattr(uapi, name)[n]) for n in known}


# our struct -> a member that is in the right anonymous struct of union bpf_attr
COMMANDS = {
    attrs.MapCreate: "map_type",
    la.ProgAttach: "attach_bpf_fd",
    attrs.MapElem: "key",
    attrs.ProgLoad: "prog_type",
    attrs.BtfLoad: "btf_log_buf",
}
NAMED = {
    attrs.RawTracepointOpen: "raw_tracepoint",
    la.LinkCreate: "link_create",
    la.LinkUpdate: "link_update",
    la.LinkDetach: "link_detach",
    la.IterCreate: "iter_create",
    la.ProgQuery: "query",
    attrs.ObjInfo: "info",
}
OURS_ALONE = {"pad"}


def offsets(struct) -> dict[str, tuple[int, int]]:
    """Offset and size of each field of a ctypes struct."""
    return {
        name: (getattr(struct, name).offset, ctypes.sizeof(kind))
        for name, kind in struct._fields_
        if name not in OURS_ALONE
    }


def kernel_offsets(btf, composite) -> dict[str, tuple[int, int]]:
    """The same of a kernel struct, anonymous members in place."""
    return {f.name: (f.offset, f.size) for f in layout_of(btf, composite.id)}


def member_types(btf, union):
    """The structs within union bpf_attr: (member name, type)."""
    return [(m.name, btf.skip(m.type)) for m in union.members]


@pytest.mark.parametrize("struct", [*COMMANDS, *NAMED], ids=lambda s: s.__name__)
def test_attr_fields_have_the_kernels_offsets(struct):
    """Every field that this kernel has lies where we think."""
    btf = kernel_btf()
    union = btf.find("bpf_attr", Kind.UNION)
    for name, inner in member_types(btf, union):
        if not isinstance(inner, t.Composite):
            continue
        fields = kernel_offsets(btf, inner)
        if name == NAMED.get(struct) or (not name and COMMANDS.get(struct) in fields):
            break
    else:
        pytest.fail(f"union bpf_attr has no struct for {struct.__name__}")
    ours = offsets(struct)
    common = set(ours) & set(fields)
    assert len(common) > len(ours) * 0.6
    assert {n: ours[n] for n in common} == {n: fields[n] for n in common}


@pytest.mark.parametrize(
    ("struct", "name"), [(attrs.MapInfo, "bpf_map_info"), (attrs.PerfEventAttr, "perf_event_attr")]
)
def test_info_structs_have_the_kernels_offsets(struct, name):
    """The same for structs of their own."""
    btf = kernel_btf()
    fields = kernel_offsets(btf, btf.find(name, Kind.STRUCT))
    ours = offsets(struct)
    common = set(ours) & set(fields)
    assert len(common) > len(ours) * 0.8
    assert {n: ours[n] for n in common} == {n: fields[n] for n in common}


# our struct -> the part of LINK_CREATE that it has beside the head; our names for members that the head has too
LINKS = {
    la.LinkCreateTracing: ("tracing", {}),
    la.LinkCreateKprobeMulti: ("kprobe_multi", {"multi_flags": "flags"}),
    la.LinkCreateUprobeMulti: ("uprobe_multi", {"multi_flags": "flags"}),
    la.LinkCreateNetfilter: ("netfilter", {"hook_flags": "flags"}),
    la.LinkCreateAnchored: ("tcx", {}),
}


@pytest.mark.parametrize("struct", LINKS, ids=lambda s: s.__name__)
def test_link_attrs_have_the_kernels_offsets(struct):
    """Each part lies in the union behind the head, which all share."""
    btf = kernel_btf()
    part, renamed = LINKS[struct]
    (outer,) = [t for name, t in member_types(btf, btf.find("bpf_attr", Kind.UNION)) if name == "link_create"]
    fields = [f for f in layout_of(btf, outer.id) if f.name == part]
    if not fields:
        need("tracing_cookie" if part == "tracing" else f"link:{part}")
    (field,) = fields
    kernel = {f.name: (field.offset + f.offset, f.size) for f in field.layout}
    ours = {renamed.get(n, n): v for n, v in offsets(struct).items() if n not in offsets(la.LinkCreate)}
    common = set(ours) & set(kernel)
    assert len(common) >= 2
    assert {n: ours[n] for n in common} == {n: kernel[n] for n in common}
