"""Symbol tables, searched without being read whole: a browser's has a million entries.

A name is first found in the strings, at every place where it ends one: linkers let strings share their
tails. Then one pass over the entries compares numbers only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pybpfload import elf as e
from pybpfload.elf import ElfFile, ElfSection
from pybpfload.errors import ObjectError, printable

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
        self._entries = elf.data(section)
        if len(self._entries) % self._form.size or section.link >= len(elf.sections):
            raise ObjectError(f"{elf.name}: symbol table `{printable(section.name)}` is malformed")
        self._strings = elf.data(elf.sections[section.link])
        self._versions = _Versions(elf, section) if section.type == e.SHT_DYNSYM else None

    def find(self, names: Sequence[str]) -> dict[str, list[Hit]]:
        """The functions of each name, which may end in ``@VERSION`` or ``@@VERSION``."""
        wanted: dict[int, list[str]] = {}
        for name in dict.fromkeys(names):
            plain, at, version = name.partition("@")
            # .symtab of a library under test may hold the version as part of the name.
            for text in {plain, name} if at and version else {name}:
                for place in self._places(text):
                    wanted.setdefault(place, []).append(name)
        found: dict[str, list[Hit]] = {name: [] for name in names}
        if not wanted:
            return found
        for number, name_at, hit in self._functions(wanted):
            for name in wanted[name_at]:
                full = self._with_version(hit, number)
                plain, at, version = name.partition("@")
                asked = version.lstrip("@")
                if at and hit.name == plain and full.version != asked:
                    continue
                if name.startswith(plain + "@@") and hit.name == plain and not full.default:
                    continue
                found[name].append(full)
        return found

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
        raw = name.encode("utf-8", "surrogateescape") + b"\0"
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
        is_64 = self._elf.is_64
        for number, raw in enumerate(self._form.iter_unpack(self._entries)):
            if wanted is not None and raw[0] not in wanted:
                continue
            if is_64:
                name_at, info, _, section, value, size = raw
            else:
                name_at, value, size, info, _, section = raw
            if info & 15 in FUNCTIONS and section != e.SHN_UNDEF:
                weak = info >> 4 == e.STB_WEAK
                yield number, name_at, Hit(self._string(name_at), value, size, weak, section, "", True)

    def _string(self, at: int) -> str:
        limit = at + MAX_NAME
        end = self._strings.find(b"\0", at, limit)
        return self._strings[at : end if end >= 0 else limit].decode("utf-8", "backslashreplace")

    def _with_version(self, hit: Hit, number: int) -> Hit:
        if self._versions is None:
            return hit
        version, default = self._versions.of(number)
        return hit._replace(version=version, default=default)


class _Versions:
    """.gnu.version, a number for each symbol, and .gnu.version_d, the numbers' names."""

    def __init__(self, elf: ElfFile, dynsym: ElfSection) -> None:
        order = ">" if elf.big_endian else "<"
        self._numbers: tuple[int, ...] = ()
        self._names: dict[int, str] = {}
        versym = next((s for s in elf.sections if s.type == SHT_GNU_VERSYM and s.link == dynsym.number), None)
        verdef = next((s for s in elf.sections if s.type == SHT_GNU_VERDEF), None)
        if versym is None or verdef is None or verdef.link >= len(elf.sections):
            return
        raw = elf.data(versym)
        self._numbers = struct.unpack(f"{order}{len(raw) // 2}H", raw[: len(raw) // 2 * 2])
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
        if number >= len(self._numbers):
            return "", True
        raw = self._numbers[number]
        return self._names.get(raw & ~VERSION_HIDDEN, ""), not raw & VERSION_HIDDEN
