"""What a program expects the kernel to have: options (.kconfig), symbols and functions (.ksyms).

The kernel takes neither section as clang writes it. Options become a data section: they are laid out
here, as libbpf does, and filled when the object is loaded. Symbols become dummies in the BTF that goes
to the kernel, since all that it wants is that a section holds variables with sizes.

Source: bpf_object__collect_externs() in libbpf.
"""

from __future__ import annotations

from pybpfload import elf as e
from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.types import Type
from pybpfload.elf import ElfFile
from pybpfload.errors import BtfError, ObjectError, printable
from pybpfload.spec import ExternSpec, MapSpec, ObjectParts
from pybpfload.uapi import MapFlag, MapType

__all__ = ["read_externs"]

MAX_OPTIONS = 1 << 20  # bytes of .kconfig
SECTIONS = (".kconfig", ".ksyms")


def read_externs(elf: ElfFile, spec: ObjectParts) -> None:
    """The undefined symbols that BTF lists, and the .kconfig map."""
    btf = spec.btf
    if btf is None:
        return
    undefined = {s.name: s for s in elf.symbols(elf.section(".symtab")) if s.section == e.SHN_UNDEF and s.name}
    for name in SECTIONS:
        datasec = next((x for x in map(btf.type, btf.ids(name)) if isinstance(x, t.Datasec)), None)
        if datasec is None:
            continue
        for entry in datasec.vars:
            found = btf.type(entry.type)
            symbol = undefined.get(found.name)
            if not isinstance(found, (t.Var, t.Func)):
                raise BtfError(f"{btf.name}: {name} lists type {entry.type}, neither variable nor function")
            if symbol is not None:
                spec.externs[found.name] = ExternSpec(found.name, name, entry.type, symbol.bind == e.STB_WEAK)
        if name == ".kconfig":
            _lay_out(spec, btf, datasec)


def _lay_out(spec: ObjectParts, btf: Btf, datasec: t.Datasec) -> None:
    """Give each option its place: by alignment, then size, then name."""
    ranked = []
    for name, extern in spec.externs.items():
        if extern.section == ".kconfig":
            var = btf.type(extern.type_id)
            if not isinstance(var, t.Var):
                raise ObjectError(f"{spec.source}: extern `{printable(name)}` of .kconfig is no variable")
            ranked.append((-_align(btf, var.type), btf.size_of(var.type), name, var))
    places: dict[int, t.SectionVar] = {}
    at = 0
    for align, size, _name, var in sorted(ranked, key=lambda row: row[:3]):
        at = -(-at // -align) * -align
        places[var.id] = t.SectionVar(var.id, at, size)
        btf.replace(var._replace(linkage=t.Linkage.GLOBAL))
        at += size
        if at > MAX_OPTIONS:
            raise ObjectError(f"{spec.source}: .kconfig takes more than {MAX_OPTIONS} bytes")
    if not places:
        return
    entries = sorted(places.values(), key=lambda v: v.offset)
    btf.replace(datasec._replace(size=at, vars=tuple(entries)))
    spec.maps[".kconfig"] = spec.data[".kconfig"] = MapSpec(
        ".kconfig",
        MapType.ARRAY,
        key_size=4,
        value_size=at,
        max_entries=1,
        flags=MapFlag.RDONLY_PROG,
        value_type=datasec.id,
        content=bytearray(at),
    )


def _align(btf: Btf, type_id: int, depth: int = 0) -> int:
    """The alignment of a type that an option can have."""
    found: Type = btf.skip(type_id)
    if depth > 32:
        raise BtfError(f"{btf.name}: type id {type_id} is nested too deep")
    if isinstance(found, t.Array):
        return _align(btf, found.type, depth + 1)
    if isinstance(found, (t.Int, t.Enum)):
        return max(1, min(8, found.size))
    raise ObjectError(f"{btf.name}: {btf.describe(found.id)} is no type for an option of .kconfig")
