"""ELF objects and .BTF.ext made by hand, from sections, symbols and records."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

PROGBITS, SYMTAB, STRTAB, NOBITS, REL = 1, 2, 3, 8, 9
ALLOC, EXEC = 2, 4
EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)
FUNC, OBJECT, GLOBAL = 2, 1, 1 << 4


class Elf:
    """A BPF object from sections and symbols, in either byte order: ``<`` or ``>``."""

    def __init__(self, order: str = "<") -> None:
        self._order = order
        self._names = bytearray(b"\0")
        self._strings = bytearray(b"\0")
        self._symbols = bytearray(24)
        self._sections: list[tuple[int, int, int, bytes | int, int, int]] = []

    def section(self, name: str, kind: int, flags: int, body: bytes | int, *, link: int = 0, info: int = 0) -> int:
        """Add one; returns its number. A number in place of a body: it is NOBITS and has so many bytes."""
        at = self._names.find(b"\0" + name.encode() + b"\0") + 1
        if not at:
            at = len(self._names)
            self._names += name.encode() + b"\0"
        self._sections.append((at, kind, flags, body, link, info))
        return len(self._sections)

    def symbol(self, name: str, info: int, section: int, value: int = 0, size: int = 0) -> int:
        """Add one; returns its number."""
        self._symbols += struct.pack(self._order + "IBBHQQ", len(self._strings), info, 0, section, value, size)
        self._strings += name.encode() + b"\0"
        return len(self._symbols) // 24 - 1

    def relocation(self, offset: int, symbol: int, kind: int = 10) -> bytes:
        """One record of a REL section."""
        return struct.pack(self._order + "QQ", offset, symbol << 32 | kind)

    def build(self) -> bytes:
        """The file."""
        strings = self.section(".strtab", STRTAB, 0, bytes(self._strings))
        self.section(".symtab", SYMTAB, 0, bytes(self._symbols), link=strings)
        names = self.section(".shstrtab", STRTAB, 0, b"")
        self._sections[names - 1] = (*self._sections[names - 1][:3], bytes(self._names), 0, 0)
        out, headers = bytearray(64), bytearray(64)
        for at, kind, flags, body, link, info in self._sections:
            size = body if isinstance(body, int) else len(body)
            headers += struct.pack(self._order + "IIQQQQIIQQ", at, kind, flags, 0, len(out), size, link, info, 1, 0)
            out += b"" if isinstance(body, int) else body
        head = (1, 247, 1, 0, 0, len(out), 0, 64, 0, 0, 64, len(self._sections) + 1, names)
        out[:64] = (
            b"\x7fELF\2"
            + (b"\1" if self._order == "<" else b"\2")
            + b"\1"
            + bytes(9)
            + struct.pack(self._order + "HHIQQQIHHHHHH", *head)
        )
        return bytes(out + headers)


def ext(core: bytes = b"", lines: bytes = b"", funcs: bytes = b"", order: str = "<") -> bytes:
    """.BTF.ext of these parts."""
    places = (0, len(funcs), len(funcs), len(lines), len(funcs) + len(lines), len(core))
    return struct.pack(order + "HBBI6I", 0xEB9F, 1, 0, 32, *places) + funcs + lines + core


def infos(
    form: str, sections: Iterable[tuple[int, Sequence[Sequence[int]]]], order: str = "<", spare: int = 0
) -> bytes:
    """One part: records of `form`, with spare bytes behind each, of sections named by string offset."""
    out = bytearray(struct.pack(order + "I", struct.calcsize(order + form) + spare))
    for name, records in sections:
        out += struct.pack(order + "II", name, len(records))
        for record in records:
            out += struct.pack(order + form, *record) + bytes(spare)
    return bytes(out)


def core_info(section: int, relos: Sequence[tuple[int, int, int, int]]) -> bytes:
    """One section's CO-RE relocations: (offset, type, access string, kind)."""
    return infos("4I", [(section, relos)])
