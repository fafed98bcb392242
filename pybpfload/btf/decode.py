"""One BTF record: from words to a type.

Source: include/uapi/linux/btf.h.
"""

from __future__ import annotations

from typing import Callable

from pybpfload.btf import types as t
from pybpfload.btf.types import Kind, Type

__all__ = ["ELEMENT_WORDS", "FIXED_WORDS", "decode"]

# Words after the first three: a fixed number, and a number for each of the vlen elements.
FIXED_WORDS = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
ELEMENT_WORDS = {
    Kind.STRUCT: 3, Kind.UNION: 3, Kind.ENUM: 2, Kind.FUNC_PROTO: 2, Kind.DATASEC: 3, Kind.ENUM64: 3,
}  # fmt: skip


def decode(words: memoryview, at: int, i: int, string: Callable[[int], str]) -> Type:
    """The type that begins at a word.

    Args:
        words: of the type section, in the host's byte order; the record lies within.
        i: its id.
        string: from an offset to a name.
    """
    name, info, size = string(words[at]), words[at + 1], words[at + 2]
    raw_kind, vlen, kflag = info >> 24 & 0x7F, info & 0xFFFFFF, info >> 31
    if raw_kind >= len(Kind):
        return t.Unknown(i, name, raw_kind)
    kind, at = Kind(raw_kind), at + 3
    end = at + FIXED_WORDS.get(kind, 0) + ELEMENT_WORDS.get(kind, 0) * vlen
    extra = words[at:end]
    if kind in (Kind.STRUCT, Kind.UNION):
        members = zip(extra[0::3], extra[1::3], extra[2::3])
        if kflag:
            return t.Composite(
                i, kind, name, size,
                tuple([t.Member(string(n), ty, off & 0xFFFFFF, off >> 24) for n, ty, off in members]),
            )  # fmt: skip
        return t.Composite(i, kind, name, size, tuple([t.Member(string(n), ty, off, 0) for n, ty, off in members]))
    if kind is Kind.PTR:
        return t.Ptr(i, size)
    if kind is Kind.TYPEDEF:
        return t.Typedef(i, name, size)
    if kind in (Kind.CONST, Kind.VOLATILE, Kind.RESTRICT):
        return t.Const(i, kind, size)
    if kind is Kind.INT:
        word = extra[0]
        return t.Int(i, name, size, word & 0xFF, word >> 16 & 0xFF, word >> 24 & 0xF)
    if kind is Kind.ARRAY:
        return t.Array(i, extra[0], extra[1], extra[2])
    if kind is Kind.FUNC:
        return t.Func(i, name, size, vlen)
    if kind is Kind.FUNC_PROTO:
        return t.FuncProto(i, size, tuple([t.Param(string(n), ty) for n, ty in zip(extra[0::2], extra[1::2])]))
    if kind is Kind.ENUM:
        top = 1 << 31 if kflag else 1 << 32
        values = [(n, v - (1 << 32) if v >= top else v) for n, v in zip(extra[0::2], extra[1::2])]
        return t.Enum(i, kind, name, size, bool(kflag), tuple([t.Enumerator(string(n), v) for n, v in values]))
    if kind is Kind.ENUM64:
        top = 1 << 63 if kflag else 1 << 64
        wide = [(n, lo | hi << 32) for n, lo, hi in zip(extra[0::3], extra[1::3], extra[2::3])]
        return t.Enum(
            i, kind, name, size, bool(kflag),
            tuple([t.Enumerator(string(n), v - (1 << 64) if v >= top else v) for n, v in wide]),
        )  # fmt: skip
    if kind is Kind.FWD:
        return t.Fwd(i, name, bool(kflag))
    if kind is Kind.VAR:
        return t.Var(i, name, size, extra[0])
    if kind is Kind.DATASEC:
        return t.Datasec(i, name, size, tuple([t.SectionVar(*v) for v in zip(extra[0::3], extra[1::3], extra[2::3])]))
    if kind is Kind.FLOAT:
        return t.Float(i, name, size)
    if kind is Kind.DECL_TAG:
        component = extra[0]
        return t.DeclTag(i, name, size, component - (1 << 32) if component >= 1 << 31 else component)
    return t.TypeTag(i, name, size, bool(kflag))
