"""Data sections as maps of one value, their variables, and the types of records."""

from __future__ import annotations

import mmap

from pybpfload import elf as e
from pybpfload.btf import types as t
from pybpfload.btf.layout import codec_of
from pybpfload.btf.types import Kind
from pybpfload.elf import ElfFile, ElfSection
from pybpfload.errors import BtfError, ObjectError, printable
from pybpfload.spec import MapSpec, ObjectParts, Variable
from pybpfload.uapi import MapFlag, MapType

__all__ = ["RECORDS", "read_data_maps", "read_records", "read_variables"]

RECORDS = ".records"
ARENA_SECTION = ".addr_space.1"
RECORD_SUFFIX = "__record"
MAX_DATA = 64 << 20


def _is_data(section: ElfSection) -> bool:
    for stem in (".data", ".rodata", ".bss"):
        if section.name == stem or section.name.startswith(stem + "."):
            return bool(section.flags & e.SHF_ALLOC) and section.size > 0
    return False


def read_data_maps(elf: ElfFile, spec: ObjectParts) -> None:
    """Each .data*, .rodata* and .bss* becomes an array map of one value.

    Read-only data gets RDONLY_PROG, so that the verifier knows its contents.
    """
    arena = elf.section(ARENA_SECTION)
    if arena is not None and arena.size:
        _read_arena(elf, spec, arena)
    datasecs = {}
    if spec.btf is not None:
        datasecs = {x.name: x for x in spec.btf.of_kind(Kind.DATASEC) if isinstance(x, t.Datasec)}
    total = 0
    for section in filter(_is_data, elf.sections):
        total += section.size
        if total > MAX_DATA:
            raise ObjectError(
                f"{spec.source}: section `{printable(section.name)}` has {section.size} bytes: data sections may have "
                f"{MAX_DATA} together"
            )
        if section.name in spec.maps:
            raise ObjectError(f"{spec.source}: two sections or maps are called `{printable(section.name)}`")
        data = elf.data(section)
        datasec = datasecs.get(section.name)
        spec.maps[section.name] = spec.data[section.name] = MapSpec(
            section.name,
            MapType.ARRAY,
            key_size=4,
            value_size=section.size,
            max_entries=1,
            flags=MapFlag.RDONLY_PROG if section.name.startswith(".rodata") else 0,
            value_type=datasec.id if datasec else 0,
            content=bytearray(data) if data else bytearray(section.size),
        )


def _read_arena(elf: ElfFile, spec: ObjectParts, section: ElfSection) -> None:
    """Variables with an address space of their own lie at the start of the object's one arena."""
    arenas = [m for m in spec.maps.values() if m.type is MapType.ARENA]
    if len(arenas) != 1 or section.size > min(MAX_DATA, arenas[0].max_entries * mmap.PAGESIZE):
        raise ObjectError(
            f"{spec.source}: {ARENA_SECTION}: {section.size} bytes and {len(arenas)} arenas, "
            "expected one that is large enough"
        )
    arenas[0].content = bytearray(elf.data(section).ljust(section.size, b"\0"))
    spec.data[section.name] = arenas[0]


def read_variables(spec: ObjectParts) -> None:
    """The variables of the data sections that BTF names."""
    btf = spec.btf
    if btf is None:
        return
    for datasec in btf.of_kind(Kind.DATASEC):
        data_map = spec.data.get(datasec.name)
        if data_map is None or data_map.content is None or not isinstance(datasec, t.Datasec):
            continue
        for entry in datasec.vars:
            var = btf.type(entry.type)
            assert isinstance(var, t.Var)  # the reader has looked
            size = btf.size_of(var.type)
            if entry.offset + size > len(data_map.content):
                raise ObjectError(
                    f"{spec.source}: variable `{printable(var.name)}`: {size} bytes at {entry.offset} do not fit in "
                    f"`{printable(datasec.name)}` of {len(data_map.content)} bytes"
                )
            codec = codec_of(btf, var.type)
            spec.variables.add(Variable(var.name, data_map, entry.offset, size, var.type, codec))


def read_records(spec: ObjectParts) -> None:
    """``RECORD_TYPE(events, T)``: a pointer ``events__record`` to T in section .records."""
    btf = spec.btf
    if btf is None:
        return
    for type_id in btf.ids(RECORDS):
        datasec = btf.type(type_id)
        if not isinstance(datasec, t.Datasec) or datasec.kind is not Kind.DATASEC:
            continue
        for entry in datasec.vars:
            var = btf.type(entry.type)
            pointer = btf.skip(var.type) if isinstance(var, t.Var) else None
            name = var.name[: -len(RECORD_SUFFIX)]
            if not isinstance(pointer, t.Ptr) or not var.name.endswith(RECORD_SUFFIX) or name not in spec.maps:
                raise BtfError(
                    f"{spec.source}: {RECORDS}: `{printable(var.name)}` is no pointer called MAP{RECORD_SUFFIX}"
                )
            spec.records.add(name, btf, pointer.type)
