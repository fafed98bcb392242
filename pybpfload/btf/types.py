"""The twenty kinds of BTF types, as values.

A type refers to others by id: 0 is void, and a `Btf` turns an id into its type. Sizes are in bytes,
offsets of members in bits, as BTF has them.

Source: include/uapi/linux/btf.h, Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Union

__all__ = [
    "Array",
    "Composite",
    "Const",
    "Datasec",
    "DeclTag",
    "Enum",
    "Enumerator",
    "Float",
    "Func",
    "FuncProto",
    "Fwd",
    "Int",
    "Kind",
    "Linkage",
    "Member",
    "Modifier",
    "Param",
    "Ptr",
    "SectionVar",
    "Type",
    "TypeTag",
    "Typedef",
    "Unknown",
    "Var",
    "Void",
]


class Kind(enum.IntEnum):
    """BTF_KIND_*."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


class Linkage(enum.IntEnum):
    """BTF_FUNC_* and BTF_VAR_*: they share their numbers."""

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2


class Void(NamedTuple):
    """No type: id 0."""

    id: int = 0
    name: str = ""

    @property
    def kind(self) -> Kind:
        """Kind.VOID."""
        return Kind.VOID


class Int(NamedTuple):
    """An integer: `bits` of `size` bytes, from bit `offset` on."""

    id: int
    name: str
    size: int
    bits: int
    offset: int
    encoding: int  # bit 0 signed, bit 1 char, bit 2 bool

    @property
    def kind(self) -> Kind:
        """Kind.INT."""
        return Kind.INT

    @property
    def signed(self) -> bool:
        """Whether it is signed."""
        return bool(self.encoding & 1)

    @property
    def is_char(self) -> bool:
        """Whether it is a char."""
        return bool(self.encoding & 2)

    @property
    def is_bool(self) -> bool:
        """Whether it is a bool."""
        return bool(self.encoding & 4)


class Ptr(NamedTuple):
    """A pointer to `type`."""

    id: int
    type: int
    name: str = ""

    @property
    def kind(self) -> Kind:
        """Kind.PTR."""
        return Kind.PTR


class Array(NamedTuple):
    """`nelems` elements of `type`; a flexible array has 0."""

    id: int
    type: int
    index_type: int
    nelems: int
    name: str = ""

    @property
    def kind(self) -> Kind:
        """Kind.ARRAY."""
        return Kind.ARRAY


class Member(NamedTuple):
    """A member of a struct or union. `bitfield_size` is 0 unless it is a bitfield."""

    name: str
    type: int
    bit_offset: int
    bitfield_size: int


class Composite(NamedTuple):
    """A struct or a union."""

    id: int
    kind: Kind
    name: str
    size: int
    members: tuple[Member, ...]


class Enumerator(NamedTuple):
    """One value of an enum."""

    name: str
    value: int


class Enum(NamedTuple):
    """An enum of 32 (ENUM) or 64 bits (ENUM64)."""

    id: int
    kind: Kind
    name: str
    size: int
    signed: bool
    values: tuple[Enumerator, ...]


class Fwd(NamedTuple):
    """A struct or union that is declared only."""

    id: int
    name: str
    is_union: bool

    @property
    def kind(self) -> Kind:
        """Kind.FWD."""
        return Kind.FWD


class Typedef(NamedTuple):
    """Another name for `type`."""

    id: int
    name: str
    type: int

    @property
    def kind(self) -> Kind:
        """Kind.TYPEDEF."""
        return Kind.TYPEDEF


class Const(NamedTuple):
    """const, volatile or restrict: see `kind`."""

    id: int
    kind: Kind
    type: int
    name: str = ""


class TypeTag(NamedTuple):
    """__attribute__((btf_type_tag(name)))."""

    id: int
    name: str
    type: int
    is_attribute: bool

    @property
    def kind(self) -> Kind:
        """Kind.TYPE_TAG."""
        return Kind.TYPE_TAG


class Func(NamedTuple):
    """A function; `type` is its FUNC_PROTO."""

    id: int
    name: str
    type: int
    linkage: int

    @property
    def kind(self) -> Kind:
        """Kind.FUNC."""
        return Kind.FUNC


class Param(NamedTuple):
    """A parameter of a prototype."""

    name: str
    type: int


class FuncProto(NamedTuple):
    """A prototype; a last parameter ("", 0) means variable arguments."""

    id: int
    type: int
    params: tuple[Param, ...]
    name: str = ""

    @property
    def kind(self) -> Kind:
        """Kind.FUNC_PROTO."""
        return Kind.FUNC_PROTO


class Var(NamedTuple):
    """A global variable."""

    id: int
    name: str
    type: int
    linkage: int

    @property
    def kind(self) -> Kind:
        """Kind.VAR."""
        return Kind.VAR


class SectionVar(NamedTuple):
    """A variable of a section: where it lies, in bytes."""

    type: int
    offset: int
    size: int


class Datasec(NamedTuple):
    """A section of variables."""

    id: int
    name: str
    size: int
    vars: tuple[SectionVar, ...]

    @property
    def kind(self) -> Kind:
        """Kind.DATASEC."""
        return Kind.DATASEC


class Float(NamedTuple):
    """A floating-point number."""

    id: int
    name: str
    size: int

    @property
    def kind(self) -> Kind:
        """Kind.FLOAT."""
        return Kind.FLOAT


class DeclTag(NamedTuple):
    """__attribute__((btf_decl_tag(name))) of `type`, or of its member or parameter `component`."""

    id: int
    name: str
    type: int
    component: int

    @property
    def kind(self) -> Kind:
        """Kind.DECL_TAG."""
        return Kind.DECL_TAG


class Unknown(NamedTuple):
    """A kind newer than this library, skipped with the help of the layout section."""

    id: int
    name: str
    raw_kind: int

    @property
    def kind(self) -> Kind:
        """Kind.VOID."""
        return Kind.VOID


Modifier = Union[Const, TypeTag]
Type = Union[
    Void,
    Int,
    Ptr,
    Array,
    Composite,
    Enum,
    Fwd,
    Typedef,
    Const,
    TypeTag,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    Unknown,
]
