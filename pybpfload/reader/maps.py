"""Map definitions: the BTF-defined ones of ``.maps``, and the plain structs of ``maps``.

Each is a variable of a struct whose members say everything by their types: ``__uint(name, n)`` is a
pointer to an array of n, ``__type(name, T)`` a pointer to T.

Source: parse_btf_map_def() in libbpf; bpf_helpers.h.
"""

from __future__ import annotations

import struct
from operator import attrgetter

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.types import Kind
from pybpfload.elf import SHT_PROGBITS, SHT_REL, STT_NOTYPE, STT_OBJECT, ElfFile, ElfSection
from pybpfload.errors import ObjectError, printable
from pybpfload.spec import MapSpec, ObjectParts
from pybpfload.uapi import MapType

__all__ = ["read_map_values", "read_maps"]

MAP_IN_MAP = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
LEGACY = struct.Struct("<5I")
MAX_MEMBERS = 64  # of a definition: it has a dozen names to choose from
NUMBERS = {"max_entries", "map_flags", "numa_node", "key_size", "value_size", "map_extra", "pinning", "type"}


def read_maps(elf: ElfFile, spec: ObjectParts) -> dict[tuple[int, int], str]:
    """Fill `spec.maps`; returns where each map's symbol lies: (section number, offset) to name."""
    places: dict[tuple[int, int], str] = {}
    modern = elf.section(".maps")
    if modern is not None and modern.size:
        places.update(_read_defined(elf, spec, modern))
    for section in elf.sections:
        # As cilium/ebpf: also `maps/name`.
        if section.name.startswith("maps") and section.type == SHT_PROGBITS and section.size:
            places.update(_read_legacy(elf, spec, section))
    return places


def _read_legacy(elf: ElfFile, spec: ObjectParts, section: ElfSection) -> dict[tuple[int, int], str]:
    """Struct bpf_map_def: type, key size, value size, entries and flags. iproute2 adds fields of its own."""
    data = elf.data(section)
    symbols = sorted(
        (
            s
            for s in elf.symbols(elf.section(".symtab"))
            if s.section == section.number and s.type in (STT_OBJECT, STT_NOTYPE) and s.name
        ),
        key=attrgetter("value"),
    )
    if not symbols:
        raise ObjectError(f"{spec.source}: section `{printable(section.name)}`: {len(data)} bytes and no symbol")
    places: dict[tuple[int, int], str] = {}
    order = ">" if elf.big_endian else "<"
    for symbol, end in zip(symbols, [*(s.value for s in symbols[1:]), len(data)]):
        where = f"{spec.source}: map `{printable(symbol.name)}`: "
        # The linker leaves a gap where it dropped a definition: the symbol's size, if it has one, is the true one.
        size = min(symbol.size or end, end - symbol.value) if symbol.value < end else 0
        if size < LEGACY.size or symbol.name in spec.maps:
            raise ObjectError(
                f"{where}{size} bytes at {symbol.value} of `{printable(section.name)}` are no definition of its own, "
                f"expected {LEGACY.size} or more"
            )
        number, key, value, entries, flags = struct.unpack_from(order + "5I", data, symbol.value)
        spec.maps[symbol.name] = MapSpec(
            symbol.name,
            _map_type(number, where),
            key_size=key,
            value_size=value,
            max_entries=entries,
            flags=flags,
            extra=data[symbol.value + LEGACY.size : symbol.value + size],
        )
        places[section.number, symbol.value] = symbol.name
    return places


def _map_type(number: int, where: str) -> MapType | int:
    if number == MapType.UNSPEC:
        raise ObjectError(f"{where}has no type")
    try:
        return MapType(number)
    except ValueError:
        return number  # it is only an error to create it


def _read_defined(elf: ElfFile, spec: ObjectParts, section: ElfSection) -> dict[tuple[int, int], str]:
    btf = spec.types()
    datasec = btf.find(".maps", Kind.DATASEC)
    assert isinstance(datasec, t.Datasec)
    symbols = {s.name: s for s in elf.symbols(elf.section(".symtab")) if s.section == section.number and s.name}
    places: dict[tuple[int, int], str] = {}
    for entry in datasec.vars:
        var = btf.type(entry.type)
        if not isinstance(var, t.Var):
            raise ObjectError(f"{spec.source}: .maps: type {entry.type} is no variable")
        where = f"{spec.source}: map `{printable(var.name)}`: "
        if var.linkage != t.Linkage.GLOBAL:
            raise ObjectError(f"{where}is static: maps have to be global")
        symbol = symbols.get(var.name)
        if symbol is None or symbol.value + entry.size > section.size:
            raise ObjectError(f"{where}has no symbol within .maps")
        if var.name in spec.maps:
            raise ObjectError(f"{where}is there twice")
        spec.maps[var.name] = _definition(btf, var.name, var.type, where, inner=False)
        places[section.number, symbol.value] = var.name
    return places


def _number(btf: Btf, member: t.Member, where: str) -> int:
    """``__uint(name, n)`` or ``__ulong(name, n)``."""
    pointer = btf.skip(member.type)
    if isinstance(pointer, t.Enum) and len(pointer.values) == 1:
        return pointer.values[0].value
    array = btf.skip(pointer.type) if isinstance(pointer, t.Ptr) else None
    if isinstance(array, t.Enum) and len(array.values) == 1:
        return array.values[0].value
    if not isinstance(array, t.Array):
        raise ObjectError(f"{where}member `{printable(member.name)}` is no number: use __uint()")
    return array.nelems


def _size_of(btf: Btf, member: t.Member, where: str) -> tuple[int, int]:
    """The type id and size that ``__type(name, T)`` names."""
    pointer = btf.skip(member.type)
    if not isinstance(pointer, t.Ptr):
        raise ObjectError(f"{where}member `{printable(member.name)}` is no type: use __type()")
    return pointer.type, btf.size_of(pointer.type)


def _definition(btf: Btf, name: str, type_id: int, where: str, *, inner: bool) -> MapSpec:
    definition = btf.skip(type_id)
    if not isinstance(definition, t.Composite) or definition.kind is not Kind.STRUCT:
        raise ObjectError(f"{where}is no struct")
    if len(definition.members) > MAX_MEMBERS:
        raise ObjectError(f"{where}has {len(definition.members)} members, expected up to {MAX_MEMBERS}")
    numbers: dict[str, int] = {}
    types: dict[str, int] = {}
    contained: MapSpec | None = None
    for i, member in enumerate(definition.members):
        if member.name in NUMBERS:
            number = _number(btf, member, where)
            if numbers.setdefault(member.name, number) != number:
                raise ObjectError(f"{where}{member.name} is {number}, but its type has {numbers[member.name]}")
        elif member.name in ("key", "value"):
            types[member.name], size = _size_of(btf, member, where)
            if numbers.setdefault(f"{member.name}_size", size) != size:
                raise ObjectError(
                    f"{where}{member.name}_size is {numbers[f'{member.name}_size']}, but its type has {size} bytes"
                )
        elif member.name == "values":
            if i != len(definition.members) - 1 or inner:
                raise ObjectError(f"{where}`values` has to be the last member, and of an outer map")
            contained = _values(btf, name, member, where)
        else:
            raise ObjectError(f"{where}unknown member `{printable(member.name)}`")
    map_type = _map_type(numbers.get("type", 0), where)
    pinning = numbers.get("pinning", 0)
    if pinning not in (0, 1) or (pinning and inner):
        raise ObjectError(f"{where}pinning {pinning}, expected 0 or 1 (by name), and not in an inner map")
    if map_type in (*MAP_IN_MAP, MapType.PROG_ARRAY):
        # They hold descriptors, whatever their definition leaves out.
        numbers.setdefault("key_size", 4)
        numbers.setdefault("value_size", 4)
    return MapSpec(
        name,
        map_type,
        key_size=numbers.get("key_size", 0),
        value_size=numbers.get("value_size", 0),
        max_entries=numbers.get("max_entries", 0),
        flags=numbers.get("map_flags", 0),
        key_type=types.get("key", 0),
        value_type=types.get("value", 0),
        numa_node=numbers.get("numa_node"),
        map_extra=numbers.get("map_extra", 0),
        pin_by_name=pinning == 1,
        inner=contained,
    )


def _values(btf: Btf, name: str, member: t.Member, where: str) -> MapSpec | None:
    """``__array(values, T)``: an inner map's definition, or the prototype of programs."""
    array = btf.skip(member.type)
    pointer = btf.skip(array.type) if isinstance(array, t.Array) and array.nelems == 0 else None
    target = btf.skip(pointer.type) if isinstance(pointer, t.Ptr) else None
    if isinstance(target, t.Composite):
        return _definition(btf, f"{name}.inner", target.id, f"{where}inner map: ", inner=True)
    if not isinstance(target, t.FuncProto):
        raise ObjectError(f"{where}`values` is neither an array of maps nor of programs")
    return None


def read_map_values(elf: ElfFile, spec: ObjectParts, places: dict[tuple[int, int], str]) -> None:
    """The initial contents of maps of maps and program arrays: relocations of .maps name them.

    Source: bpf_object__collect_map_relos() in libbpf.
    """
    section = elf.section(".maps")
    if section is None:
        return
    btf = spec.types()
    relocs = [r for s in elf.sections if s.info == section.number and s.type == SHT_REL for r in elf.relocations(s)]
    symbols = elf.symbols(elf.section(".symtab"))
    datasec = btf.find(".maps", Kind.DATASEC) if relocs else None
    entries = datasec.vars if isinstance(datasec, t.Datasec) else ()
    for reloc in relocs:
        entry = next((v for v in entries if v.offset <= reloc.offset < v.offset + v.size), None)
        symbol = symbols[reloc.symbol] if reloc.symbol < len(symbols) else None
        if entry is None or symbol is None:
            raise ObjectError(f"{spec.source}: .maps: relocation at {reloc.offset} belongs to no map")
        owner = spec.maps[btf.type(entry.type).name]
        where = f"{spec.source}: map `{printable(owner.name)}`: "
        var = btf.type(entry.type)
        definition = btf.skip(var.type) if isinstance(var, t.Var) else None
        last = definition.members[-1] if isinstance(definition, t.Composite) and definition.members else None
        start = entry.offset + last.bit_offset // 8 if last and last.name == "values" else None
        if start is None or reloc.offset < start or (reloc.offset - start) % 8:
            raise ObjectError(f"{where}a relocation at {reloc.offset} is not one of its `values`")
        index = (reloc.offset - start) // 8
        name = places.get((symbol.section, symbol.value), "") if symbol.section == section.number else symbol.name
        wanted = spec.maps if owner.inner else spec.programs
        if name not in wanted:
            kind = "map" if owner.inner else "program"
            raise ObjectError(f"{where}values[{index}] is `{printable(symbol.name)}`, which is no {kind}")
        owner.values[index] = name
