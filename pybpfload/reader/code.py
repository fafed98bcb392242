"""Functions, the references of their instructions, and programs."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Mapping

from pybpfload import elf as e
from pybpfload import insn
from pybpfload.elf import ElfFile, ElfReloc, ElfSection, ElfSymbol
from pybpfload.errors import ObjectError, RelocationError, printable
from pybpfload.sections import Flag, Section, find_section
from pybpfload.spec import Function, ObjectParts, ProgramSpec, Ref, RefKind
from pybpfload.uapi import ProgType

__all__ = ["read_functions", "read_programs"]

MapsAt = dict[tuple[int, int], str]  # section index and offset -> map name


def _is_code(section: ElfSection) -> bool:
    return section.type == e.SHT_PROGBITS and bool(section.flags & e.SHF_EXECINSTR) and section.size > 0


def read_functions(elf: ElfFile, spec: ObjectParts, maps_at: MapsAt) -> None:
    """Cut each code section into its functions, and give every relocated instruction its reference."""
    relocs: dict[int, list[ElfReloc]] = {}
    for section in elf.sections:
        if section.type in (e.SHT_REL, e.SHT_RELA):
            if section.info >= len(elf.sections):
                raise ObjectError(f"{spec.source}: `{printable(section.name)}` relocates section {section.info}")
            if _is_code(elf.sections[section.info]):
                relocs.setdefault(section.info, []).extend(elf.relocations(section))
    symtab = elf.section(".symtab")
    symbols = elf.symbols(symtab)
    functions: dict[int, list[ElfSymbol]] = {}
    for symbol in symbols:
        if symbol.type == e.STT_FUNC and 0 < symbol.section < len(elf.sections):
            functions.setdefault(symbol.section, []).append(symbol)
    swapped = elf.big_endian != (sys.byteorder == "big")
    for section in filter(_is_code, elf.sections):
        code = elf.data(section)
        if len(code) % insn.SLOT:
            raise ObjectError(f"{spec.source}: section `{printable(section.name)}`: {len(code)} bytes of code")
        code = insn.swap(code) if swapped else code
        found = sorted(functions.get(section.number, ()), key=lambda s: (s.value, -s.bind))
        starts: list[int] = []
        for symbol in found:
            if starts and starts[-1] == symbol.value:
                if symbol.bind != e.STB_LOCAL:
                    spec.aliases.setdefault((section.name, symbol.value), []).append(symbol.name)
                continue
            if symbol.value % insn.SLOT or symbol.size % insn.SLOT or symbol.value + symbol.size > len(code):
                raise ObjectError(
                    f"{spec.source}: section `{printable(section.name)}`: function `{printable(symbol.name)}`: "
                    f"{symbol.size} bytes at {symbol.value} do not fit in {len(code)} bytes of instructions"
                )
            if not symbol.size:
                continue
            if starts and symbol.value < starts[-1] + len(spec.functions[section.name, starts[-1]].code):
                raise ObjectError(
                    f"{spec.source}: section `{printable(section.name)}`: function `{printable(symbol.name)}` "
                    f"at {symbol.value} overlaps the one before it"
                )
            starts.append(symbol.value)
            is_global = symbol.bind != e.STB_LOCAL and symbol.visibility not in (e.STV_HIDDEN, e.STV_INTERNAL)
            body = code[symbol.value : symbol.value + symbol.size]
            key = (section.name, symbol.value)
            if key in spec.functions:
                raise ObjectError(f"{spec.source}: two code sections are called `{printable(section.name)}`")
            spec.functions[key] = Function(symbol.name, section.name, symbol.value, body, {}, is_global)
        for reloc in relocs.get(section.number, ()):
            at = bisect_right(starts, reloc.offset) - 1
            function = spec.functions[section.name, starts[at]] if at >= 0 else None
            # Instructions in the gaps belong to weak functions that the linker replaced.
            if function is None or reloc.offset >= function.offset + len(function.code):
                continue
            if reloc.offset % insn.SLOT or reloc.symbol >= len(symbols):
                raise RelocationError(_where(spec, function, reloc.offset) + f"symbol {reloc.symbol} does not exist")
            slot = (reloc.offset - function.offset) // insn.SLOT
            function.refs[slot] = _ref(elf, spec, function, slot, reloc, symbols[reloc.symbol], maps_at)


def _where(spec: ObjectParts, function: Function, offset: int) -> str:
    slot = (offset - function.offset) // insn.SLOT
    line = spec.source_line(function.section, offset)
    return (
        f"{spec.source}: section `{printable(function.section)}`: function `{printable(function.name)}`: "
        f"insn {slot}{f' ({line})' if line else ''}: "
    )


def _ref(
    elf: ElfFile,
    spec: ObjectParts,
    function: Function,
    slot: int,
    reloc: ElfReloc,
    symbol: ElfSymbol,
    maps_at: MapsAt,
) -> Ref:

    def fail(text: str) -> RelocationError:
        return RelocationError(_where(spec, function, reloc.offset) + text)

    op = insn.read(function.code, slot)
    addend = op.imm if reloc.addend is None else reloc.addend
    name = printable(symbol.name) or "(a section)"
    if symbol.section == e.SHN_UNDEF:
        extern = spec.externs.get(symbol.name)
        if op.code != insn.CALL and not insn.is_ld_imm64(op):
            raise fail(f"symbol `{name}` is used by an instruction that is neither call nor load")
        if extern is None:
            return Ref(slot, RefKind.UNDEFINED, symbol.name)
        if op.code == insn.CALL:
            return Ref(slot, RefKind.KFUNC, symbol.name)
        if extern.section == ".ksyms":
            return Ref(slot, RefKind.KSYM, symbol.name)
        return Ref(slot, RefKind.KCONFIG, symbol.name)
    if symbol.section >= len(elf.sections):
        raise fail(f"symbol `{name}` lies in reserved section {symbol.section:#x}")
    section = elf.sections[symbol.section]
    if op.code == insn.CALL:
        if op.src != insn.PSEUDO_CALL or not _is_code(section):
            raise fail(f"call of `{name}` in section `{printable(section.name)}`, which is no code")
        return Ref(slot, RefKind.CALL, section.name, symbol.value + (addend + 1) * insn.SLOT)
    if not insn.is_ld_imm64(op) or (slot + 2) * insn.SLOT > len(function.code):
        raise fail(f"opcode {op.code:#x} cannot refer to symbol `{name}`")
    if _is_code(section):
        return Ref(slot, RefKind.FUNC_ADDRESS, section.name, symbol.value + addend)
    place = (section.number, symbol.value + (addend if symbol.type == e.STT_SECTION else 0))
    if place in maps_at:
        return Ref(slot, RefKind.MAP, maps_at[place])
    data_map = spec.data.get(section.name)
    if data_map is None or data_map.content is None:
        raise fail(f"symbol `{name}` in section `{printable(section.name)}` is neither map nor data")
    offset = symbol.value + addend
    if not 0 <= offset <= len(data_map.content):
        raise fail(f"offset {offset} is outside section `{printable(section.name)}`")
    return Ref(slot, RefKind.DATA, data_map.name, offset)


def read_programs(elf: ElfFile, spec: ObjectParts, prog_types: Mapping[str, ProgType], strict: bool) -> None:
    """Every function outside .text that is not static is a program."""
    shared = {
        (elf.sections[s.section].name, s.value)
        for s in elf.symbols(elf.section(".symtab"))
        if s.type == e.STT_FUNC and s.bind != e.STB_LOCAL and 0 < s.section < len(elf.sections)
    }
    for key, function in spec.functions.items():
        if function.section == ".text" or key not in shared:
            continue
        # An object may hold programs that are not for us: it is an error only to load one.
        row = find_section(function.section, strict=strict) or Section(
            "", ProgType.UNSPEC, 0, Flag.NONE, "", not function.section.startswith("?")
        )
        bare = function.section.removeprefix("?")
        for name in (function.name, *spec.aliases.get(key, ())):
            if name in spec.programs:
                raise ObjectError(f"{spec.source}: two programs are called `{printable(name)}`")
            override: ProgType | None = prog_types.get(name, prog_types.get(bare))
            spec.programs[name] = ProgramSpec(
                name,
                bare,
                key,
                override if override is not None else row.prog_type,
                row.attach_type if override in (None, row.prog_type) else 0,
                row.target,
                row.flags if override in (None, row.prog_type) else Flag.NONE,
                row.autoload,
            )
