"""A file that code is mapped from: its segments, which say what lies where in memory and in the file."""

from __future__ import annotations

import mmap
import os
import struct
from types import TracebackType
from typing import NamedTuple

from pybpfload.elf import ElfFile, ElfSection
from pybpfload.errors import ObjectError, printable

__all__ = ["Image", "Segment"]

PT_LOAD, PF_EXEC, PN_XNUM = 1, 1, 0xFFFF
SHT_NOTE = 7
NT_GNU_BUILD_ID = 3


class Segment(NamedTuple):
    """A PT_LOAD: `file_size` bytes at `offset` of the file appear at `address`."""

    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int

    @property
    def is_code(self) -> bool:
        """Whether it may be executed."""
        return bool(self.flags & PF_EXEC)


class Note(NamedTuple):
    """An entry of a note section."""

    owner: bytes
    type: int
    content: bytes


class Image:
    """An executable, library or debug file, mapped into memory until it is closed.

    Raises:
        ObjectError: it is not ELF.
        OSError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise ObjectError(f"{printable(path)}: not an ELF file: it is empty")
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self.elf = ElfFile(self._data, printable(path))
            self.segments = _segments(self._data, self.elf)
        except BaseException:
            self._data.close()
            raise

    def close(self) -> None:
        """Unmap the file."""
        self._data.close()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def offset_of(self, address: int, what: str, *, code: bool = True) -> int:
        """The offset in the file of an address.

        Raises:
            ObjectError: no (executable) segment of the file holds it.
        """
        for one in self.segments:
            if one.address <= address < one.address + one.file_size and (not code or one.flags & PF_EXEC):
                return address - one.address + one.offset
        kind = "executable segment" if code else "segment"
        raise ObjectError(f"{self.elf.name}: {what} at {address:#x} lies in no {kind} of the file")

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file, fewer at its end."""
        return self._data[offset : offset + size]

    def build_id(self) -> str:
        """The build-id in hexadecimal, or ""."""
        for section in self.elf.sections:
            if section.type == SHT_NOTE:
                for note in self.notes(section):
                    if note.owner == b"GNU\0" and note.type == NT_GNU_BUILD_ID:
                        return note.content.hex()
        return ""

    def notes(self, section: ElfSection) -> list[Note]:
        """The entries of a note section; what follows a malformed one is left out."""
        data = self.elf.data(section)
        order = ">" if self.elf.big_endian else "<"
        found, at = [], 0
        while at + 12 <= len(data):
            owner, size, kind = struct.unpack_from(order + "III", data, at)
            start = at + 12 + -(-owner // 4) * 4
            if start + size > len(data):
                break
            found.append(Note(bytes(data[at + 12 : at + 12 + owner]), kind, bytes(data[start : start + size])))
            at = start + -(-size // 4) * 4
        return found


def _segments(data: mmap.mmap, elf: ElfFile) -> list[Segment]:
    order = ">" if elf.big_endian else "<"
    try:
        if elf.is_64:
            (start,) = struct.unpack_from(order + "Q", data, 32)
            size, count = struct.unpack_from(order + "HH", data, 54)
            form = struct.Struct(order + "IIQQQQQQ")
        else:
            (start,) = struct.unpack_from(order + "I", data, 28)
            size, count = struct.unpack_from(order + "HH", data, 42)
            form = struct.Struct(order + "8I")
        if count and (size < form.size or count == PN_XNUM or start + count * size > len(data)):
            raise ObjectError(f"{elf.name}: {count} program headers of {size} bytes at {start} do not fit")
        found = []
        for i in range(count):
            raw = form.unpack_from(data, start + i * size)
            if raw[0] == PT_LOAD:
                # The 32-bit form has the flags last but one.
                flags, offset, address, in_file, in_memory = (
                    (raw[1], raw[2], raw[3], raw[5], raw[6]) if elf.is_64 else (raw[6], raw[1], raw[2], raw[4], raw[5])
                )
                found.append(Segment(flags, offset, address, in_file, in_memory))
    except struct.error as error:
        raise ObjectError(f"{elf.name}: malformed program headers: {error}") from error
    return found
