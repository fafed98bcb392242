"""Read an object file: its parts in the order in which they need each other."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.ext import BtfExt
from pybpfload.btf.types import Kind
from pybpfload.elf import EM_BPF, SHT_NOBITS, SHT_NULL, ElfFile
from pybpfload.errors import BtfError, ObjectError, printable
from pybpfload.reader.code import read_functions, read_programs
from pybpfload.reader.data import read_data_maps, read_records, read_variables
from pybpfload.reader.externs import read_externs
from pybpfload.reader.maps import read_map_values, read_maps
from pybpfload.reader.structops import read_struct_ops
from pybpfload.spec import ObjectParts
from pybpfload.uapi import ProgType

__all__ = ["fill"]

ET_REL = 1


def fill(spec: ObjectParts, data: bytes, *, prog_types: Mapping[str, ProgType], strict: bool) -> None:
    """Enter all that the bytes of an object file say.

    Raises:
        ObjectError: the file is malformed; names what is wrong where.
    """
    elf = ElfFile(data, spec.source)
    if not elf.is_64 or elf.machine not in (EM_BPF, 0) or elf.type != ET_REL:
        raise ObjectError(
            f"{spec.source}: not a BPF object: ELF type {elf.type}, machine {elf.machine}, "
            f"expected a relocatable 64-bit file (1) of machine {EM_BPF}"
        )
    spec.big_endian = elf.big_endian
    stored = sum(s.size for s in elf.sections if s.type not in (SHT_NULL, SHT_NOBITS))
    if stored > len(data):
        # Else a small file could ask for the same bytes to be read again and again.
        raise ObjectError(f"{spec.source}: its sections overlap: they have {stored} bytes, the file has {len(data)}")
    _read_texts(elf, spec)
    _read_btf(elf, spec)
    maps_at = read_maps(elf, spec)
    read_data_maps(elf, spec)
    read_externs(elf, spec)
    read_functions(elf, spec, maps_at)
    read_programs(elf, spec, prog_types, strict)
    read_variables(spec)
    read_records(spec)
    read_map_values(elf, spec, maps_at)
    read_struct_ops(elf, spec)


def _read_texts(elf: ElfFile, spec: ObjectParts) -> None:
    section = elf.section("license")
    if section:
        spec.license = elf.data(section).split(b"\0")[0].decode("ascii", "backslashreplace")
    section = elf.section("version")
    if section:
        data = elf.data(section)
        if len(data) != 4:
            raise ObjectError(f"{spec.source}: section `version` has {len(data)} bytes, expected 4")
        (spec.kernel_version,) = struct.unpack((">" if elf.big_endian else "<") + "I", data)


def _read_btf(elf: ElfFile, spec: ObjectParts) -> None:
    section = elf.section(".BTF")
    if section is None:
        return
    spec.btf = btf = Btf(elf.data(section), name=f"{spec.source}: .BTF")
    if btf.big_endian != elf.big_endian:
        raise BtfError(f"{spec.source}: .BTF has not the byte order of its file")
    kinds = btf.kinds()
    if kinds and max(kinds) >= len(Kind):
        at, kind = next((i, kind) for i, kind in enumerate(kinds) if kind >= len(Kind))
        raise BtfError(f"{spec.source}: .BTF: type {btf.first_id + at} has unknown kind {kind}")
    _fix_sections(elf, btf)
    ext = elf.section(".BTF.ext")
    if ext is not None:
        spec.btf_ext = BtfExt(elf.data(ext), btf)


def _fix_sections(elf: ElfFile, btf: Btf) -> None:
    """Give each DATASEC its size, and its global variables their offsets: clang leaves both to the linker."""
    values: dict[int, dict[str, int]] = {}
    for symbol in elf.symbols(elf.section(".symtab")):
        if symbol.name:
            values.setdefault(symbol.section, {})[symbol.name] = symbol.value
    seen: set[str] = set()
    for found in btf.of_kind(Kind.DATASEC):
        assert isinstance(found, t.Datasec)
        if found.name in seen:
            raise BtfError(f"{btf.name}: section `{printable(found.name)}` is listed twice")
        seen.add(found.name)
        section = elf.section(found.name)
        if section is None:
            continue
        if section.size >= 1 << 32:
            raise BtfError(f"{btf.name}: section `{printable(found.name)}` has {section.size} bytes")
        offsets = values.get(section.number, {})
        places = []
        for entry in found.vars:
            var = btf.type(entry.type)
            if not isinstance(var, t.Var):
                raise BtfError(f"{btf.name}: section `{printable(found.name)}` lists type {entry.type}, no variable")
            offset = entry.offset if var.linkage == t.Linkage.STATIC else offsets.get(var.name, entry.offset)
            if offset + entry.size > section.size:
                raise BtfError(
                    f"{btf.name}: variable `{printable(var.name)}`: {entry.size} bytes at {offset} do not fit in "
                    f"`{printable(found.name)}` of {section.size}"
                )
            places.append(entry._replace(offset=offset))
        places.sort(key=lambda v: v.offset)
        for before, entry in zip(places, places[1:]):
            if entry.offset < before.offset + before.size:
                raise BtfError(
                    f"{btf.name}: section `{printable(found.name)}`: variable `{printable(btf.type(entry.type).name)}` "
                    f"at {entry.offset} overlaps the one before it"
                )
        btf.replace(found._replace(size=section.size, vars=tuple(places)))
