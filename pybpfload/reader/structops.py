"""struct_ops: a kernel struct of functions, filled in with programs.

Each variable of ``.struct_ops`` (registered when it is written) or ``.struct_ops.link`` (registered by
a link) becomes a map of type STRUCT_OPS. Which programs stand in it, the relocations of the section say.

Source: bpf_object__init_struct_ops_maps(), bpf_object__collect_st_ops_relos() in libbpf.
"""

from __future__ import annotations

from bisect import bisect_left

from pybpfload import elf as e
from pybpfload.btf import types as t
from pybpfload.btf.types import Kind
from pybpfload.elf import ElfFile, ElfSection
from pybpfload.errors import ObjectError, printable
from pybpfload.spec import MapSpec, ObjectParts, StructOps
from pybpfload.uapi import MapFlag, MapType

__all__ = ["read_struct_ops"]

SECTIONS = {".struct_ops": 0, ".struct_ops.link": MapFlag.LINK}


def read_struct_ops(elf: ElfFile, spec: ObjectParts) -> None:
    """Enter the maps of both sections; programs must have been read."""
    for section in elf.sections:
        bare = section.name.removeprefix("?")
        if bare in SECTIONS and section.size:
            if elf.section(section.name) is not section:
                raise ObjectError(f"{spec.source}: two sections are called `{section.name}`")
            _read(elf, spec, section, SECTIONS[bare], autocreate=bare == section.name)


def _read(elf: ElfFile, spec: ObjectParts, section: ElfSection, flags: int, *, autocreate: bool) -> None:
    btf = spec.types()
    datasec = btf.find(section.name, Kind.DATASEC)
    assert isinstance(datasec, t.Datasec)
    data = elf.data(section)
    relocs = {r.offset: r.symbol for s in elf.sections if s.info == section.number for r in _relocs(elf, s)}
    offsets = sorted(relocs)
    symbols = elf.symbols(elf.section(".symtab"))
    members: dict[int, dict[int, str]] = {}  # of each struct, by offset in bytes
    for entry in datasec.vars:
        var = btf.type(entry.type)
        where = f"{spec.source}: struct_ops `{printable(var.name)}`: "
        struct = btf.skip(var.type) if isinstance(var, t.Var) else None
        if not isinstance(struct, t.Composite) or entry.offset + struct.size > len(data):
            raise ObjectError(f"{where}is no struct within its section")
        if var.name in spec.maps:
            raise ObjectError(f"{where}another map has its name")
        programs: dict[str, str] = {}
        if struct.id not in members:
            members[struct.id] = {m.bit_offset // 8: m.name for m in struct.members}
        first, last = bisect_left(offsets, entry.offset), bisect_left(offsets, entry.offset + struct.size)
        for offset in offsets[first:last]:
            name, number = members[struct.id].get(offset - entry.offset), relocs[offset]
            if name is None:
                continue
            symbol = symbols[number] if number < len(symbols) else None
            if symbol is None or symbol.type != e.STT_FUNC or symbol.name not in spec.programs:
                raise ObjectError(f"{where}member `{printable(name)}` refers to something that is no program")
            programs[name] = symbol.name
        value = data[entry.offset : entry.offset + struct.size]
        spec.maps[var.name] = MapSpec(
            var.name,
            MapType.STRUCT_OPS,
            key_size=4,
            value_size=struct.size,
            max_entries=1,
            flags=flags,
            struct_ops=StructOps(struct.id, value, programs),
            autocreate=autocreate,
        )


def _relocs(elf: ElfFile, section: ElfSection) -> list[e.ElfReloc]:
    return elf.relocations(section) if section.type in (e.SHT_REL, e.SHT_RELA) else []
