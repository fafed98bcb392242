"""Read an object file: its parts in the order in which they need each other."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.ext import BtfExt
from pybpfload.elf import EM_BPF, ElfFile
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
    for found in btf:
        if isinstance(found, t.Unknown):
            raise BtfError(f"{spec.source}: .BTF: type {found.id} has unknown kind {found.raw_kind}")
    _fix_sections(elf, btf)
    ext = elf.section(".BTF.ext")
    if ext is not None:
        spec.btf_ext = BtfExt(elf.data(ext), btf)


def _fix_sections(elf: ElfFile, btf: Btf) -> None:
    """Give each DATASEC its size, and its global variables their offsets: clang leaves both to the linker."""
    symbols = elf.symbols(elf.section(".symtab"))
    for found in btf:
        section = elf.section(found.name) if isinstance(found, t.Datasec) else None
        if section is None or not isinstance(found, t.Datasec):
            continue
        values = {s.name: s.value for s in symbols if s.section == section.number and s.name}
        places = []
        for entry in found.vars:
            var = btf.type(entry.type)
            if not isinstance(var, t.Var):
                raise BtfError(f"{btf.name}: section `{printable(found.name)}` lists type {entry.type}, no variable")
            offset = entry.offset if var.linkage == t.Linkage.STATIC else values.get(var.name, entry.offset)
            if offset + entry.size > section.size:
                raise BtfError(
                    f"{btf.name}: variable `{printable(var.name)}`: {entry.size} bytes at {offset} do not fit in "
                    f"`{printable(found.name)}` of {section.size}"
                )
            places.append(entry._replace(offset=offset))
        places.sort(key=lambda v: v.offset)
        btf.replace(found._replace(size=section.size, vars=tuple(places)))
