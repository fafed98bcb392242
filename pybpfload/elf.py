"""ELF files: sections, symbols and relocations.

pyelftools parses the file's header. Section headers, symbols and relocations are read as plain arrays,
because a libc has thousands of them and one through pyelftools costs 56 µs. Section contents are slices
of the file, cut from checked offsets; compressed sections are not inflated.

`ObjectError` is the only error that leaves, whatever the bytes.
"""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from pybpfload.errors import ObjectError, printable

__all__ = ["EM_BPF", "ElfFile", "ElfReloc", "ElfSection", "ElfSymbol"]

EM_BPF = 247
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 0, 1, 2, 4, 8, 9, 11
SHN_UNDEF, SHN_LORESERVE, SHN_COMMON, SHN_XINDEX = 0, 0xFF00, 0xFFF2, 0xFFFF
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_GNU_IFUNC = 0, 1, 2, 3, 10
STV_DEFAULT, STV_INTERNAL, STV_HIDDEN = 0, 1, 2
HEADER_SIZE = 64
MAX_SECTIONS = 1 << 16
OVERLAP = 16  # how much longer than their table all strings may be: those that share tails count each


class ElfSection(NamedTuple):
    """A section header with its name."""

    number: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


class ElfSymbol(NamedTuple):
    """A symbol. `section` is an index, or one of the SHN_* numbers."""

    number: int
    name: str
    value: int
    size: int
    bind: int
    type: int
    visibility: int
    section: int


class ElfReloc(NamedTuple):
    """A relocation at a byte offset of its section; `addend` is None where the bytes hold it (REL)."""

    offset: int
    symbol: int
    type: int
    addend: int | None


class _Strings:
    """A string table."""

    def __init__(self, data: bytes | mmap.mmap, start: int, size: int, what: str) -> None:
        self._data, self._start, self._what = data, start, what
        self._end = min(start + size, len(data))
        self._found: dict[int, str] = {}
        self._budget = OVERLAP * max(0, self._end - start)

    def get(self, offset: int) -> str:
        """The string at an offset; malformed UTF-8 is escaped."""
        found = self._found.get(offset)
        if found is None:
            start = self._start + offset
            if start >= self._end and offset:
                raise ObjectError(f"{self._what}: offset {offset} is beyond their {self._end - self._start} bytes")
            end = self._data.find(b"\0", start, self._end)
            raw = self._data[start : self._end if end < 0 else end]
            self._budget -= len(raw)
            if self._budget < 0:
                # Each byte of a long string may begin a string of its own: together they would take its square.
                raise ObjectError(f"{self._what} share too much: they are {OVERLAP} times as long as their table")
            found = self._found[offset] = raw.decode("utf-8", "backslashreplace")
        return found


@lru_cache(maxsize=4)
def _structs(is_64: bool, big_endian: bool) -> ELFStructs:
    structs = ELFStructs(little_endian=not big_endian, elfclass=64 if is_64 else 32)
    structs.create_basic_structs()
    return structs


class ElfFile:
    """An ELF file, 32 or 64 bits, either byte order.

    Args:
        data: the whole file.
        name: how errors call it.

    Raises:
        ObjectError: this is not an ELF file, or its headers are malformed.
    """

    def __init__(self, data: bytes | mmap.mmap, name: str) -> None:
        self.name = name
        self._data = data
        ident = bytes(data[:16])
        if len(ident) < 16 or ident[:4] != b"\x7fELF":
            raise ObjectError(f"{name}: not an ELF file: it begins with {ident[:4].hex(' ') or 'nothing'}")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ObjectError(f"{name}: ELF class {ident[4]} and byte order {ident[5]} are unknown")
        self.is_64 = ident[4] == 2
        self.big_endian = ident[5] == 2
        self._order = ">" if self.big_endian else "<"
        stream = BytesIO(data[:HEADER_SIZE])
        try:
            header = struct_parse(_structs(self.is_64, self.big_endian).Elf_Ehdr, stream)
            self.type: int = struct.unpack_from(self._order + "H", data, 16)[0]
            self.machine: int = struct.unpack_from(self._order + "H", data, 18)[0]
            self.sections = self._sections(header)
        except (ELFError, struct.error, OverflowError, ValueError) as error:
            raise ObjectError(f"{name}: malformed ELF headers: {error}") from error
        self._by_name: dict[str, ElfSection] = {}
        for section in self.sections:
            self._by_name.setdefault(section.name, section)
        self._symbols: dict[int, list[ElfSymbol]] = {}

    def _sections(self, header: Any) -> list[ElfSection]:
        offset, count, stride = header["e_shoff"], header["e_shnum"], header["e_shentsize"]
        if offset == 0:
            return []
        # name, type, flags, address, offset, size, link, info
        form = struct.Struct(self._order + ("IIQQQQII16x" if self.is_64 else "8I8x"))
        if stride < form.size:
            raise ObjectError(f"{self.name}: section headers of {stride} bytes")
        first = form.unpack_from(self._data, offset)
        # Beyond 65,279 sections the numbers stand in the first header.
        count = count or first[5]
        names_at = header["e_shstrndx"]
        names_at = first[6] if names_at == SHN_XINDEX else names_at
        if not 0 < count <= MAX_SECTIONS or offset + count * stride > len(self._data):
            raise ObjectError(f"{self.name}: {count} section headers at {offset} do not fit in {len(self._data)} bytes")
        if names_at >= count:
            raise ObjectError(f"{self.name}: section name table {names_at} is not below {count}")
        raw = [form.unpack_from(self._data, offset + i * stride) for i in range(count)]
        names = _Strings(self._data, raw[names_at][4], raw[names_at][5], f"{self.name}: section names")
        return [ElfSection(i, names.get(x[0]), *x[1:]) for i, x in enumerate(raw)]

    def section(self, name: str) -> ElfSection | None:
        """The first section of that name."""
        return self._by_name.get(name)

    def data(self, section: ElfSection) -> bytes:
        """The contents; of a NOBITS section, nothing.

        Raises:
            ObjectError: the section lies outside the file.
        """
        return self.part(section, 0, section.size)

    def part(self, section: ElfSection, offset: int, size: int) -> bytes:
        """Some of the contents, fewer at their end.

        Raises:
            ObjectError: the section lies outside the file.
        """
        if section.type == SHT_NOBITS:
            return b""
        if section.offset + section.size > len(self._data):
            raise ObjectError(
                f"{self.name}: section `{printable(section.name)}`: {section.size} bytes at {section.offset} "
                f"end beyond the file's {len(self._data)}"
            )
        start = section.offset + min(offset, section.size)
        return self._data[start : min(start + size, section.offset + section.size)]

    def symbols(self, section: ElfSection | None) -> list[ElfSymbol]:
        """The symbols of a .symtab or .dynsym, the first (empty) one included; read once."""
        if section is None:
            return []
        found = self._symbols.get(section.number)
        if found is None:
            found = self._symbols[section.number] = self._read_symbols(section)
        return found

    def _read_symbols(self, section: ElfSection) -> list[ElfSymbol]:
        data = self.data(section)
        form = struct.Struct(self._order + ("IBBHQQ" if self.is_64 else "IIIBBH"))
        if len(data) % form.size or section.link >= len(self.sections):
            raise ObjectError(f"{self.name}: symbol table `{printable(section.name)}` is malformed")
        table = self.sections[section.link]
        strings = _Strings(self._data, table.offset, table.size, f"{self.name}: names of `{printable(section.name)}`")
        found = []
        for i, raw in enumerate(form.iter_unpack(data)):
            if self.is_64:
                name, info, other, shndx, value, size = raw
            else:
                name, value, size, info, other, shndx = raw
            found.append(
                ElfSymbol(i, strings.get(name) if name else "", value, size, info >> 4, info & 15, other & 3, shndx)
            )
        return found

    def relocations(self, section: ElfSection) -> list[ElfReloc]:
        """The relocations of a REL or RELA section (64-bit files only, as BPF objects are)."""
        data, has_addend = self.data(section), section.type == SHT_RELA
        form = struct.Struct(self._order + ("QQq" if has_addend else "QQ"))
        if len(data) % form.size or not self.is_64:
            raise ObjectError(f"{self.name}: relocation section `{printable(section.name)}` is malformed")
        return [
            ElfReloc(raw[0], raw[1] >> 32, raw[1] & 0xFFFFFFFF, raw[2] if has_addend else None)
            for raw in form.iter_unpack(data)
        ]
