"""BTF made by hand: types by name, for tests that need a target of their own."""

from __future__ import annotations

import struct

from pybpfload.btf import Btf, Kind
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode


class Types:
    """Collects types; each method returns the new type's id."""

    def __init__(self) -> None:
        self.all: list[t.Type] = []

    def add(self, make) -> int:
        """`make` gets the id and returns the type."""
        number = len(self.all) + 1
        self.all.append(make(number))
        return number

    def int(
        self, name: str = "int", size: int = 4, *, signed: bool = True, bits: int = 0, is_bool: bool = False
    ) -> int:
        """An integer."""
        encoding = 4 if is_bool else int(signed)
        return self.add(lambda i: t.Int(i, name, size, bits or size * 8, 0, encoding))

    def ptr(self, target: int = 0) -> int:
        """A pointer."""
        return self.add(lambda i: t.Ptr(i, target))

    def array(self, element: int, count: int) -> int:
        """An array."""
        return self.add(lambda i: t.Array(i, element, element, count))

    def struct(self, name: str, size: int, *members: tuple, kind: Kind = Kind.STRUCT) -> int:
        """A struct of (name, type, byte offset) or (name, type, bit offset, bitfield size)."""
        made = tuple(
            t.Member(m[0], m[1], m[2], m[3]) if len(m) == 4 else t.Member(m[0], m[1], m[2] * 8, 0) for m in members
        )
        return self.add(lambda i: t.Composite(i, kind, name, size, made))

    def enum(self, name: str, *values: tuple[str, int], size: int = 4, signed: bool = False) -> int:
        """An enum of 32 or 64 bits."""
        kind = Kind.ENUM64 if size == 8 else Kind.ENUM
        made = tuple(t.Enumerator(*v) for v in values)
        return self.add(lambda i: t.Enum(i, kind, name, size, signed, made))

    def typedef(self, name: str, target: int) -> int:
        """A typedef."""
        return self.add(lambda i: t.Typedef(i, name, target))

    def blob(self) -> bytes:
        """All of them as a BTF blob."""
        return encode(self.all)

    def btf(self, name: str = "target") -> Btf:
        """All of them, read again."""
        return Btf(self.blob(), name=name)


def split_struct(kernel: Btf, name: str, member: str, type_id: int) -> bytes:
    """BTF of a module that continues the kernel's: one struct with one member of a type of the kernel.

    As pahole writes it: its strings do not begin with an empty one.
    """
    strings = f"{name}\0{member}\0".encode()
    first = kernel.string_size
    size = kernel.size_of(type_id)
    words = struct.pack("=6I", first, Kind.STRUCT << 24 | 1, size, first + len(name) + 1, type_id, 0)
    return struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, len(words), len(words), len(strings)) + words + strings
