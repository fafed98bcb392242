"""Where a function of an executable or library begins, as an offset in its file: for uprobes."""

from __future__ import annotations

import mmap
import os

from pybpfload import elf as e
from pybpfload.closest import closest
from pybpfload.elf import ElfFile, ElfSymbol
from pybpfload.errors import ObjectError, printable

__all__ = ["file_offset_of"]

FUNCTIONS = (e.STT_FUNC, e.STT_GNU_IFUNC)
TABLES = (".dynsym", ".symtab")


def file_offset_of(path: str, symbol: str) -> int:
    """The offset of a function in its file, from .dynsym and then .symtab.

    Raises:
        ObjectError: no table has it, or two functions have the name; says which tables were searched
            and which name comes closest.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise ObjectError(f"{printable(path)}: not an ELF file: it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _search(ElfFile(data, printable(path)), symbol)


def _search(elf: ElfFile, symbol: str) -> int:
    searched: list[str] = []
    names: list[str] = []
    for table in TABLES:
        section = elf.section(table)
        if section is None:
            continue
        searched.append(table)
        found = [s for s in elf.symbols(section) if s.type in FUNCTIONS and s.section != e.SHN_UNDEF]
        hits = [s for s in found if s.name == symbol]
        strong = [s for s in hits if s.bind != e.STB_WEAK] or hits
        offsets = {_offset(elf, s) for s in strong}
        if len(offsets) > 1:
            raise ObjectError(f"{elf.name}: {table} has {len(offsets)} functions `{printable(symbol)}`")
        if offsets:
            return offsets.pop()
        names += [s.name for s in found]
    close = closest(symbol, names)
    raise ObjectError(
        f"{elf.name}: no function `{printable(symbol)}` in {' or '.join(searched) or 'the file: it has no symbols'}"
        + (f"; closest is `{printable(close)}`" if close else "")
    )


def _offset(elf: ElfFile, symbol: ElfSymbol) -> int:
    if symbol.section >= len(elf.sections):
        raise ObjectError(f"{elf.name}: function `{printable(symbol.name)}` lies in no section")
    section = elf.sections[symbol.section]
    return symbol.value - section.address + section.offset
