""".BTF.ext: what each instruction belongs to: functions, source lines, CO-RE relocations.

Records are grouped by ELF section and carry byte offsets into it. Records may be longer than known
here: the stride is kept and the known prefix is read.

Source: Documentation/bpf/btf.rst; struct bpf_core_relo in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import enum
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from pybpfload.btf.blob import MAGIC, Btf
from pybpfload.errors import BtfError

__all__ = ["BtfExt", "CoreKind", "CoreRelo", "FuncInfo", "LineInfo", "Records"]


class CoreKind(enum.IntEnum):
    """enum bpf_core_relo_kind."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


class FuncInfo(NamedTuple):
    """Where a function begins (bytes in its section) and its FUNC type."""

    offset: int
    type_id: int


class LineInfo(NamedTuple):
    """The source line from `offset` on. `file` and `line` are string offsets."""

    offset: int
    file: int
    line: int
    number_column: int

    @property
    def number(self) -> int:
        """The line's number in its file, from 1."""
        return self.number_column >> 10


class CoreRelo(NamedTuple):
    """One CO-RE relocation, as clang wrote it."""

    offset: int
    type_id: int
    access: str
    kind: CoreKind


R = TypeVar("R", FuncInfo, LineInfo, CoreRelo)


class Records(list[R]):
    """The records of one section, in the order of the file; found by their offsets without a walk over all."""

    def __init__(self) -> None:
        self._order: list[int] = []
        self._offsets: list[int] = []

    def _sort(self) -> None:
        if len(self._order) != len(self):
            self._order = sorted(range(len(self)), key=lambda i: self[i].offset)
            self._offsets = [self[i].offset for i in self._order]

    def between(self, start: int, end: int) -> list[R]:
        """Those from one offset up to another, in the order of the file."""
        self._sort()
        places = self._order[bisect_left(self._offsets, start) : bisect_left(self._offsets, end)]
        return [self[i] for i in sorted(places)]

    def before(self, offset: int) -> R | None:
        """The last at an offset or before it."""
        self._sort()
        at = bisect_right(self._offsets, offset)
        return self[self._order[at - 1]] if at else None


class BtfExt:
    """A parsed .BTF.ext section.

    Attributes:
        funcs, lines, core: by ELF section name.

    Raises:
        BtfError: it is malformed.
    """

    def __init__(self, data: bytes, btf: Btf) -> None:
        order = ">" if btf.big_endian else "<"
        if len(data) < 24:
            raise BtfError(f".BTF.ext: {len(data)} bytes are too short for its header of 24")
        magic, version, _flags, header = struct.unpack_from(order + "HBBI", data)
        if magic != MAGIC or version != 1:
            raise BtfError(f".BTF.ext: magic {magic:x} version {version}, expected {MAGIC:x} version 1")
        if not 24 <= header <= len(data):
            raise BtfError(f".BTF.ext: header length {header} is not within 24..{len(data)}")
        self._data, self._order, self._btf, self._header = data, order, btf, header
        places = (*struct.unpack_from(order + ("6I" if header >= 32 else "4I"), data, 8), 0, 0)
        self.funcs: dict[str, Records[FuncInfo]] = {}
        self.lines: dict[str, Records[LineInfo]] = {}
        self.core: dict[str, Records[CoreRelo]] = {}
        for section, raw in self._records("func_info", places[0], places[1], "II"):
            self.funcs.setdefault(section, Records()).append(FuncInfo(*raw))
        for section, line in self._records("line_info", places[2], places[3], "IIII"):
            self.lines.setdefault(section, Records()).append(LineInfo(*line))
        for section, (offset, type_id, access, kind) in self._records("core_relo", places[4], places[5], "IIII"):
            if kind >= len(CoreKind):
                raise BtfError(f".BTF.ext: section `{section}`: CO-RE relocation of unknown kind {kind}")
            relo = CoreRelo(offset, type_id, btf.string(access), CoreKind(kind))
            self.core.setdefault(section, Records()).append(relo)

    def _records(self, what: str, offset: int, length: int, fields: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        if not length:
            return
        start, order = self._header + offset, self._order
        end = start + length
        if end > len(self._data) or length < 4:
            raise BtfError(f".BTF.ext: {what} {offset}+{length} ends beyond the {len(self._data)} bytes")
        (stride,) = struct.unpack_from(order + "I", self._data, start)
        known = struct.Struct(order + fields)
        if stride < known.size or stride % 4:
            raise BtfError(f".BTF.ext: {what} has records of {stride} bytes, expected {known.size} or more")
        start += 4
        while start < end:
            if start + 8 > end:
                raise BtfError(f".BTF.ext: {what} ends within a header")
            name, count = struct.unpack_from(order + "II", self._data, start)
            start += 8
            if not count or start + count * stride > end:
                raise BtfError(f".BTF.ext: {what} of `{self._btf.string(name)}` has {count} records, which do not fit")
            section = self._btf.string(name)
            for at in range(start, start + count * stride, stride):
                yield section, known.unpack_from(self._data, at)
            start += count * stride
