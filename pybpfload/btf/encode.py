"""From types to a BTF blob, and what older kernels need changed first.

Ids stay what they are, so that nothing that refers to them has to change: a type that cannot be kept
becomes a placeholder.

Source: the kernel's checks in kernel/bpf/btf.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pybpfload.btf import types as t
from pybpfload.btf.types import Kind, Type

if TYPE_CHECKING:
    from pybpfload.btf.blob import Btf

__all__ = ["encode", "placeholder"]


def placeholder(type_id: int) -> t.Composite:
    """A type that any kernel accepts, and that means nothing: an empty struct without a name."""
    return t.Composite(type_id, Kind.STRUCT, "", 0, ())


def encode(types: Iterable[Type], *, strings: bytes = b"\0", over: Btf | None = None) -> bytes:
    """The blob of these types, in the host's byte order; the first has id 1.

    Args:
        types: in the order of their ids.
        strings: a string section that the new one begins with.
        over: what has all ids that the types leave out. Its strings keep their offsets: line info refers to them.
    """
    table = _Strings(over.string_section if over else strings)
    section, end, next_id = bytearray(), len(over) if over else 1, 1
    for found in types:
        if over and found.id > next_id:
            section += over.stored(next_id, min(found.id, end))
        words = _encode(found, table)
        section += struct.pack(f"={len(words)}I", *words)
        next_id = found.id + 1
    if over and next_id < end:
        section += over.stored(next_id, end)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(section), len(section), len(table.data))
    return bytes(header + section + table.data)


class _Strings:
    def __init__(self, strings: bytes) -> None:
        self.data = bytearray(strings)
        self._offsets: dict[str, int] = {}
        at = 0
        for raw in strings.split(b"\0")[:-1]:
            self._offsets.setdefault(raw.decode("utf-8", "backslashreplace"), at)
            at += len(raw) + 1

    def add(self, text: str) -> int:
        offset = self._offsets.get(text)
        if offset is None:
            offset = self._offsets[text] = len(self.data)
            self.data += text.encode("utf-8", "backslashreplace") + b"\0"
        return offset


def _head(found: Type, table: _Strings, vlen: int, kflag: bool | int, size: int) -> list[int]:
    kind = found.raw_kind if isinstance(found, t.Unknown) else found.kind
    return [table.add(found.name), vlen | kind << 24 | int(kflag) << 31, size]


def _encode(found: Type, table: _Strings) -> list[int]:
    if isinstance(found, t.Composite):
        bitfields = any(m.bitfield_size for m in found.members)
        words = _head(found, table, len(found.members), bitfields, found.size)
        for member in found.members:
            offset = member.bit_offset | (member.bitfield_size << 24 if bitfields else 0)
            words += (table.add(member.name), member.type, offset)
        return words
    if isinstance(found, t.Int):
        return [
            *_head(found, table, 0, 0, found.size),
            found.encoding << 24 | found.offset << 16 | found.bits,
        ]
    if isinstance(found, t.Array):
        return [*_head(found, table, 0, 0, 0), found.type, found.index_type, found.nelems]
    if isinstance(found, t.Enum):
        words = _head(found, table, len(found.values), found.signed, found.size)
        for value in found.values:
            words += (table.add(value.name), value.value & 0xFFFFFFFF)
            if found.kind is Kind.ENUM64:
                words.append(value.value >> 32 & 0xFFFFFFFF)
        return words
    if isinstance(found, t.FuncProto):
        words = _head(found, table, len(found.params), 0, found.type)
        for param in found.params:
            words += (table.add(param.name), param.type)
        return words
    if isinstance(found, t.Datasec):
        words = _head(found, table, len(found.vars), 0, found.size)
        for var in found.vars:
            words += var
        return words
    if isinstance(found, t.Func):
        return _head(found, table, found.linkage, 0, found.type)
    if isinstance(found, t.Var):
        return [*_head(found, table, 0, 0, found.type), found.linkage]
    if isinstance(found, t.DeclTag):
        return [*_head(found, table, 0, 0, found.type), found.component & 0xFFFFFFFF]
    if isinstance(found, t.Fwd):
        return _head(found, table, 0, found.is_union, 0)
    if isinstance(found, t.TypeTag):
        return _head(found, table, 0, found.is_attribute, found.type)
    if isinstance(found, t.Float):
        return _head(found, table, 0, 0, found.size)
    if isinstance(found, (t.Ptr, t.Typedef, t.Const)):
        return _head(found, table, 0, 0, found.type)
    return _encode(placeholder(found.id), table)
