"""From the name of a function to its offset in the file."""

from __future__ import annotations

import lzma
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate

from pybpfload import elf as e
from pybpfload.closest import closest
from pybpfload.elf import ElfFile
from pybpfload.errors import ObjectError, printable
from pybpfload.symbols.image import Image
from pybpfload.symbols.table import Hit, SymbolTable

__all__ = ["SymbolFile", "file_offset_of", "file_offsets_of"]

TABLES = (".dynsym", ".symtab")
DEBUG_DIRECTORY = "/usr/lib/debug/.build-id"
MINI = ".gnu_debugdata"
# A distribution's largest is a few megabytes; what claims more is a bomb.
MAX_MINI = 64 << 20
DECOMPRESSION_MEMORY = 128 << 20


class SymbolFile:
    """A file whose functions are looked up; closing it unmaps it.

    Args:
        path: of the file whose code will run.
        debug_root: what stands before /usr/lib/debug: ``/proc/PID/root`` for a file of a container.
    """

    def __init__(self, path: str, *, debug_root: str = "") -> None:
        self.image = Image(path)
        self._debug_root = debug_root
        self._debug_image: Image | None = None
        self._tables: list[SymbolTable] = []
        self._more = self._sources()
        self.problems: list[str] = []

    def close(self) -> None:
        """Unmap the files."""
        self.image.close()
        if self._debug_image is not None:
            self._debug_image.close()

    def __enter__(self) -> SymbolFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sources(self) -> Iterator[SymbolTable]:
        """The tables, the cheapest first."""
        elf = self.image.elf
        yield from _tables_of(elf, "")
        mini = elf.section(MINI)
        if mini is not None:
            try:
                data = _decompress(elf.data(mini))
                yield from _tables_of(ElfFile(data, f"{elf.name} {MINI}"), f" of {MINI}")
            except ObjectError as error:
                self.problems.append(str(error))
        path = self._debug_path()
        if path:
            try:
                self._debug_image = Image(path)
                if self._debug_image.build_id() != self.image.build_id():
                    raise ObjectError(f"{printable(path)}: has another build-id than {elf.name}")
                yield from _tables_of(self._debug_image.elf, f" of {printable(path)}")
            except (ObjectError, OSError) as error:
                self.problems.append(str(error))

    def _debug_path(self) -> str:
        number = self.image.build_id()
        if len(number) < 4:
            return ""
        path = f"{self._debug_root}{DEBUG_DIRECTORY}/{number[:2]}/{number[2:]}.debug"
        return path if os.path.exists(path) else ""

    def tables(self) -> Iterator[SymbolTable]:
        """The tables in their order, opened as they are asked for."""
        yield from self._tables
        for table in self._more:
            self._tables.append(table)
            yield table

    def offsets(self, symbols: Sequence[str]) -> list[int]:
        """The offset in the file of each function, taken from the first table that has it.

        Args:
            symbols: names, with ``@VERSION`` or ``@@VERSION`` where a library has several; or absolute
                offsets in the file, as ``0x1234``.

        Raises:
            ObjectError: one is not found, or its name has two functions; says which tables were searched
                and which name comes closest.
        """
        found: dict[str, int] = {s: int(s, 16) for s in symbols if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", s)}
        for table in self.tables():
            missing = [s for s in symbols if s not in found]
            if not missing:
                break
            for symbol, hits in table.find(missing).items():
                if hits:
                    found[symbol] = self._decide(symbol, hits, table)
        lost = next((s for s in symbols if s not in found), None)
        if lost is not None:
            raise self._not_found(lost)
        return [found[s] for s in symbols]

    def matching(self, pattern: str) -> list[tuple[str, int]]:
        """Name and offset of each function that matches a shell pattern; those at one place count once.

        A name may have several: versions, or static functions of several files.
        """
        match = re.compile(translate(pattern)).match
        found: dict[int, str] = {}
        for table in self.tables():
            for hit in table.functions():
                if match(hit.name):
                    found.setdefault(self._offset(hit), hit.name)
        return [(name, offset) for offset, name in found.items()]

    def _decide(self, symbol: str, hits: list[Hit], table: SymbolTable) -> int:
        # Several versions: the default one. Several definitions: a weak one gives way.
        hits = [h for h in hits if h.default] or hits
        hits = [h for h in hits if not h.weak] or hits
        offsets = {self._offset(h) for h in hits}
        if len(offsets) > 1:
            versions = sorted({f"{h.name}@{h.version}" for h in hits if h.version})
            raise ObjectError(
                f"{self.image.elf.name}: {table.label} has {len(offsets)} functions `{printable(symbol)}`"
                + (f": say which: {', '.join(map(printable, versions))}" if len(versions) > 1 else "")
            )
        return offsets.pop()

    def _offset(self, hit: Hit) -> int:
        return self.image.offset_of(hit.address, f"function `{printable(hit.name)}`")

    def _not_found(self, symbol: str) -> ObjectError:
        elf = self.image.elf
        searched = [table.label for table in self.tables()]
        plain = symbol.partition("@")[0]
        names: list[str] = []
        versions: list[str] = []
        for table in self.tables():
            hits = table.find([plain])[plain] if plain != symbol else []
            versions += [f"{h.name}@{'@' if h.default else ''}{h.version}" for h in hits if h.version]
            names += [n for n in table.names() if n[:1] == plain[:1]]
        near = closest(plain, names)
        close = sorted(set(versions)) or ([near] if near else [])
        where = " or ".join(searched) or f"the file: it has no symbols, no {MINI}, no debug file of its build-id"
        text = f"{elf.name}: no function `{printable(symbol)}` in {where}"
        text += f"; closest is {', '.join(f'`{printable(name)}`' for name in close)}" if close else ""
        return ObjectError(text + "".join(f" ({problem})" for problem in self.problems))


def _tables_of(elf: ElfFile, where: str) -> Iterator[SymbolTable]:
    for name in TABLES:
        section = elf.section(name)
        if section is not None and section.type != e.SHT_NOBITS:
            yield SymbolTable(elf, section, name + where)


def _decompress(data: bytes) -> bytes:
    """The ELF file within .gnu_debugdata."""
    machine = lzma.LZMADecompressor(memlimit=DECOMPRESSION_MEMORY)
    try:
        out = machine.decompress(data, MAX_MINI + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ObjectError(f"{MINI} cannot be decompressed: {error}") from error
    if len(out) > MAX_MINI:
        raise ObjectError(f"{MINI} decompresses to more than {MAX_MINI} bytes")
    if not machine.eof:
        raise ObjectError(f"{MINI} ends within its compressed data")
    return out


def file_offset_of(path: str, symbol: str, *, debug_root: str = "") -> int:
    """The offset of a function in its file.

    Raises:
        ObjectError: no table has it, or two functions have the name; says which tables were searched
            and which names come closest.
        OSError: the file cannot be read.
    """
    return file_offsets_of(path, [symbol], debug_root=debug_root)[0]


def file_offsets_of(path: str, symbols: Sequence[str], *, debug_root: str = "") -> list[int]:
    """The same for several functions, in one pass over each table."""
    with SymbolFile(path, debug_root=debug_root) as file:
        return file.offsets(symbols)
