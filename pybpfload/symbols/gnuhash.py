"""The section .gnu.hash, by which the dynamic linker finds a name without reading all of them.

::

    number of buckets, number of the first symbol, words of the bloom filter, its shift
    bloom filter          left out here: it would only save a look at a bucket
    buckets               the number of the first symbol of each, 0 for none
    chains                for each symbol its hash; bit 0 says that it is the last one of its bucket
"""

from __future__ import annotations

import struct
from functools import lru_cache

from pybpfload.elf import ElfFile, ElfSection
from pybpfload.errors import ObjectError

__all__ = ["GnuHash"]

SHT_GNU_HASH = 0x6FFFFFF6
HEADER_SIZE = 16
MAX_CHAIN = 4096  # linkers make them of about four


class GnuHash:
    """The hash of a .dynsym.

    Args:
        symbols: how many there are.

    Raises:
        ObjectError: it is malformed.
    """

    def __init__(self, elf: ElfFile, section: ElfSection, symbols: int) -> None:
        self._data = elf.data(section)
        self._word = struct.Struct((">" if elf.big_endian else "<") + "I")
        self._symbols = symbols
        self._buckets, self._first, bloom = (self._at(at) for at in (0, 4, 8))
        self._buckets_at = HEADER_SIZE + bloom * (8 if elf.is_64 else 4)
        self._chains_at = self._buckets_at + 4 * self._buckets
        if not self._buckets or self._chains_at > len(self._data):
            raise ObjectError(f"{elf.name}: .gnu.hash of {len(self._data)} bytes has {self._buckets} buckets")

    @classmethod
    def of(cls, elf: ElfFile, dynsym: ElfSection, symbols: int) -> GnuHash | None:
        """That of a symbol table; None if it has none, or a malformed one."""
        for section in elf.sections:
            if section.type == SHT_GNU_HASH and section.link == dynsym.number:
                try:
                    return cls(elf, section, symbols)
                except ObjectError:
                    return None
        return None

    def find(self, name: bytes) -> list[int]:
        """The numbers of symbols that may have this name: its hash is theirs, but for the lowest bit.

        Raises:
            ObjectError: the section is malformed.
        """
        wanted = gnu_hash(name)
        begin = self._at(self._buckets_at + 4 * (wanted % self._buckets))
        found: list[int] = []
        if not begin:
            return found
        for number in range(begin, begin + MAX_CHAIN):
            if not self._first <= number < self._symbols:
                break
            value = self._at(self._chains_at + 4 * (number - self._first))
            if value | 1 == wanted | 1:
                found.append(number)
            if value & 1:
                return found
        raise ObjectError(".gnu.hash: a chain has no end")

    def _at(self, offset: int) -> int:
        if offset + 4 > len(self._data):
            raise ObjectError(f".gnu.hash of {len(self._data)} bytes is too short")
        value: int = self._word.unpack_from(self._data, offset)[0]
        return value


@lru_cache(maxsize=4096)
def gnu_hash(name: bytes) -> int:
    """Bernstein's hash, as linkers use it."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value
