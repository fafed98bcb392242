"""Symbol tables, searched without being read whole: a browser's has a million entries.

A .dynsym has a hash, and costs some microseconds a name. Elsewhere, and where the hash is malformed, a name is
first found in the strings, at every place where it ends one: linkers let strings share their tails. Then one pass
over the entries compares numbers only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from pybpfload import elf as e
from pybpfload.elf import ElfFile, ElfSection
from pybpfload.errors import ObjectError, printable
from pybpfload.symbols.gnuhash import GnuHash

__all__ = ["Hit", "SymbolTable"]

FUNCTIONS = (e.STT_FUNC, e.STT_GNU_IFUNC)
SHT_GNU_VERDEF, SHT_GNU_VERSYM = 0x6FFFFFFD, 0x6FFFFFFF
VERSION_HIDDEN = 0x8000
MAX_NAMES = 200_000  # looked through for the closest
MAX_NAME = 1 << 14  # C++ has long ones
MAX_PLACES = 1 << 20
MAX_VERSIONS = 1 << 15


class Hit(NamedTuple):
    """A function symbol.

    Attributes:
        version: as in ``memcpy@@GLIBC_2.14``; "" where the table has none.
        default: whether plain ``memcpy`` means this one.
    """

    name: str
    address: int
    size: int
    weak: bool
    section: int
    version: str
    default: bool


class SymbolTable:
    """The .dynsym or .symtab of a file.

    Args:
        label: how errors call it: ``.symtab of /usr/lib/debug/...``.
    """

    def __init__(self, elf: ElfFile, section: ElfSection, label: str) -> None:
        self._elf = elf
        self.label = label
        self._form = struct.Struct((">" if elf.big_endian else "<") + ("IBBHQQ" if elf.is_64 else "IIIBBH"))
        if section.size % self._form.size or section.link >= len(elf.sections):
            raise ObjectError(f"{elf.name}: symbol table `{printable(section.name)}` is malformed")
        self._section, self._texts = section, elf.sections[section.link]
        elf.part(section, 0, 0), elf.part(self._texts, 0, 0)  # whether they are within the file
        is_dynamic = section.type == e.SHT_DYNSYM
        self._hash = GnuHash.of(elf, section, section.size // self._form.size) if is_dynamic else None

    @cached_property
    def _entries(self) -> bytes:
        return self._elf.data(self._section)

    @cached_property
    def _strings(self) -> bytes:
        return self._elf.data(self._texts)

    @cached_property
    def _versions(self) -> _Versions | None:
        return _Versions(self._elf, self._section) if self._section.type == e.SHT_DYNSYM else None

    def find(self, names: Sequence[str]) -> dict[str, list[Hit]]:
        """The functions of each name, which may end in ``@VERSION`` or ``@@VERSION``."""
        if self._hash is not None:
            try:
                return self._find_by_hash(names, self._hash)
            except ObjectError:
                self._hash = None
        return self._find_by_scan(names)

    def _find_by_hash(self, names: Sequence[str], table: GnuHash) -> dict[str, list[Hit]]:
        found: dict[str, list[Hit]] = {name: [] for name in names}
        size = self._form.size
        for name, hits in found.items():
            for text in _texts_of(name):
                raw = _bytes_of(text)
                for number in table.find(raw) if raw else ():
                    entry = self._form.unpack(self._elf.part(self._section, number * size, size))
                    hit = self._hit(entry, text)
                    if hit and self._elf.part(self._texts, entry[0], len(raw) + 1) == raw + b"\0":
                        self._add(hits, name, hit, number)
        return found

    def _find_by_scan(self, names: Sequence[str]) -> dict[str, list[Hit]]:
        wanted: dict[int, list[str]] = {}
        for name in dict.fromkeys(names):
            for text in _texts_of(name):
                for place in self._places(text):
                    wanted.setdefault(place, []).append(name)
        found: dict[str, list[Hit]] = {name: [] for name in names}
        if not wanted:
            return found
        for number, name_at, hit in self._functions(wanted):
            for name in wanted[name_at]:
                self._add(found[name], name, hit, number)
        return found

    def _add(self, hits: list[Hit], name: str, hit: Hit, number: int) -> None:
        """A function that has the name; whether the version is the one that was asked for is seen here."""
        full = self._with_version(hit, number)
        plain, at, version = name.partition("@")
        if hit.name == plain and at:
            if full.version != version.lstrip("@"):
                return
            if version.startswith("@") and not full.default:
                return
        hits.append(full)

    def names(self) -> Iterator[str]:
        """The names of functions, up to a bound: for suggestions and patterns."""
        for count, (_, _, hit) in enumerate(self._functions(None)):
            if count >= MAX_NAMES:
                return
            yield hit.name

    def functions(self) -> Iterator[Hit]:
        """All functions."""
        for number, _, hit in self._functions(None):
            yield self._with_version(hit, number)

    def _places(self, name: str) -> Iterator[int]:
        raw = _bytes_of(name) + b"\0"
        at, count = self._strings.find(raw), 0
        while at >= 0 and name:
            yield at
            count += 1
            if count > MAX_PLACES:
                raise ObjectError(
                    f"{self._elf.name}: {self.label}: over {MAX_PLACES} strings end in `{printable(name)}`"
                )
            at = self._strings.find(raw, at + 1)

    def _functions(self, wanted: dict[int, list[str]] | None) -> Iterator[tuple[int, int, Hit]]:
        for number, raw in enumerate(self._form.iter_unpack(self._entries)):
            if wanted is not None and raw[0] not in wanted:
                continue
            hit = self._hit(raw)
            if hit is not None:
                yield number, raw[0], hit

    def _hit(self, raw: tuple[int, ...], name: str | None = None) -> Hit | None:
        """An entry, if it is a function of this file."""
        if self._elf.is_64:
            name_at, info, _, section, value, size = raw
        else:
            name_at, value, size, info, _, section = raw
        if info & 15 not in FUNCTIONS or section == e.SHN_UNDEF:
            return None
        text = self._string(name_at) if name is None else name
        return Hit(text, value, size, info >> 4 == e.STB_WEAK, section, "", True)

    def _string(self, at: int) -> str:
        limit = at + MAX_NAME
        end = self._strings.find(b"\0", at, limit)
        return self._strings[at : end if end >= 0 else limit].decode("utf-8", "backslashreplace")

    def _with_version(self, hit: Hit, number: int) -> Hit:
        if self._versions is None:
            return hit
        version, default = self._versions.of(number)
        return hit._replace(version=version, default=default)


def _texts_of(name: str) -> set[str]:
    """What stands in the strings: .symtab of a library under test may hold the version as part of the name."""
    plain, at, version = name.partition("@")
    return {plain, name} if at and version else {name}


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class _Versions:
    """.gnu.version, a number for each symbol, and .gnu.version_d, the numbers' names."""

    def __init__(self, elf: ElfFile, dynsym: ElfSection) -> None:
        order = ">" if elf.big_endian else "<"
        self._number = struct.Struct(order + "H")
        self._numbers = b""
        self._names: dict[int, str] = {}
        versym = next((s for s in elf.sections if s.type == SHT_GNU_VERSYM and s.link == dynsym.number), None)
        verdef = next((s for s in elf.sections if s.type == SHT_GNU_VERDEF), None)
        if versym is None or verdef is None or verdef.link >= len(elf.sections):
            return
        self._numbers = elf.data(versym)
        data, strings = elf.data(verdef), elf.data(elf.sections[verdef.link])
        at = 0
        for _ in range(MAX_VERSIONS):
            if at + 20 > len(data):
                break
            _, flags, index, _, _, aux, following = struct.unpack_from(order + "HHHHIII", data, at)
            if at + aux + 4 <= len(data) and not flags & 1:  # not the file's own name
                (name,) = struct.unpack_from(order + "I", data, at + aux)
                end = strings.find(b"\0", name)
                self._names[index] = strings[name : end if end >= 0 else None][:MAX_NAME].decode("utf-8", "replace")
            if not following:
                break
            at += following

    def of(self, number: int) -> tuple[str, bool]:
        """Version and whether it is the default."""
        if 2 * number + 2 > len(self._numbers):
            return "", True
        raw: int = self._number.unpack_from(self._numbers, 2 * number)[0]
        return self._names.get(raw & ~VERSION_HIDDEN, ""), not raw & VERSION_HIDDEN
