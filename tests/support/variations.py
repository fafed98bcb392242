"""Random variations of an object's types, to relocate it against: as if the kernel had changed a lot.

The same seed gives the same types. Whatever refers to a type keeps its id; ids that are new come last.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from pybpfload.btf import Btf, Kind
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.btf.types import Type

FLAVOURS = ("", "", "", "___new", "___v2___x", "___")
SIZES = (1, 2, 4, 8)
LONG = ("long", "unsigned long")  # libbpf takes their size for that of pointers


class Variation:
    """Collects the types of a target."""

    def __init__(self, btf: Btf, seed: int) -> None:
        self.random = random.Random(seed)
        self.types: dict[int, Type] = {found.id: found for found in btf}
        # Only these can be referred to without making a circle.
        self.leaves = [x.id for x in btf if isinstance(x, (t.Int, t.Composite, t.Enum, t.Fwd, t.Float))]

    def blob(self) -> bytes:
        """The target's BTF."""
        chance = self.random.choice((0.02, 0.1, 0.3))
        for found in list(self.types.values()):
            if found.name and self.random.random() < chance:
                # A second type of the name, which comes before or after the first in no time.
                copy = found._replace(id=len(self.types) + 1)  # type: ignore[call-arg]
                self.types[copy.id] = copy
        for number, found in list(self.types.items()):
            if self.random.random() < chance * 2:
                self.types[number] = self._vary(found)
        if self.random.random() < 0.3:
            # What is defined twice may be alike or not.
            for found in list(self.types.values()):
                if isinstance(found, t.Composite) and self.random.random() < chance:
                    self.types[found.id] = self._vary(found)
        return encode([self.types[i] for i in sorted(self.types)])

    def _vary(self, found: Type) -> Type:
        for kind, change in CHANGES:
            if isinstance(found, kind):
                return change(self, found)
        return found

    def _leaf(self) -> int:
        return self.random.choice(self.leaves)

    def _flavoured(self, name: str) -> str:
        return name + self.random.choice(FLAVOURS) if name else name

    def _int(self, found: t.Int) -> Type:
        if found.name.startswith(LONG):
            return found
        size = self.random.choice(SIZES)
        encoding = self.random.choice((0, 1, 1, 2, 4, 3, found.encoding))
        bits = self.random.choice((size * 8, size * 8, 7))
        offset = self.random.choice((0, 0, 0, 0, 1))
        return found._replace(size=size, bits=bits, offset=offset, encoding=encoding)

    def _pointing(self, found: t.Ptr | t.Typedef | t.Const) -> Type:
        return found._replace(type=self.random.choice((self._leaf(), 0)))

    def _array(self, found: t.Array) -> Type:
        if self.random.random() < 0.3:
            return found._replace(type=self._leaf())
        return found._replace(nelems=self.random.choice((0, 1, 2, 3, 8)))

    def _composite(self, found: t.Composite) -> Type:
        members = list(found.members)
        if self.random.random() < 0.3:
            self.random.shuffle(members)
        changed = []
        for member in members:
            changed += self._member(member) if self.random.random() < 0.3 else [member]
        kind = self.random.choice((found.kind,) * 6 + (Kind.STRUCT, Kind.UNION))
        size = found.size + self.random.choice((0, 0, 8, 64, 40000))
        return t.Composite(found.id, kind, self._flavoured(found.name), size, tuple(changed))

    def _member(self, member: t.Member) -> list[t.Member]:
        pick = self.random.randrange(8)
        if pick == 0:
            return []
        if pick == 1:
            return [member._replace(bit_offset=self.random.choice((0, 8, 64, 24, 100, 33000 * 8)), bitfield_size=0)]
        if pick == 2 and isinstance(self._skip(member.type), (t.Int, t.Enum)):
            bits = self.random.choice((1, 5, 9, 33, 40, 64))
            return [member._replace(bit_offset=member.bit_offset + self.random.randrange(16), bitfield_size=bits)]
        if pick == 3:
            return [member._replace(type=self._leaf(), bitfield_size=0)]
        if pick == 4:  # the first of a name counts
            return [member, member._replace(type=self._leaf(), bitfield_size=0)]
        if pick == 5:
            return [member._replace(name=self.random.choice((member.name + "___x", "", member.name.upper())))]
        if pick == 6:
            return [member._replace(bit_offset=member.bit_offset + 64, bitfield_size=0)]
        # Into an anonymous struct or union.
        number = len(self.types) + 1
        inner = (member._replace(bit_offset=self.random.choice((0, 32))),)
        kind = self.random.choice((Kind.STRUCT, Kind.UNION))
        self.types[number] = t.Composite(number, kind, "", 16, inner)
        return [t.Member("", number, member.bit_offset // 8 * 8, 0)]

    def _skip(self, number: int) -> Type | None:
        found = self.types.get(number)
        while isinstance(found, (t.Typedef, t.Const)):
            found = self.types.get(found.type)
        return found

    def _enum(self, found: t.Enum) -> Type:
        values = [v for v in found.values if self.random.random() < 0.8]
        values = [
            v._replace(name=self._flavoured(v.name), value=v.value + self.random.choice((0, 0, 1))) for v in values
        ]
        kind = self.random.choice((found.kind, found.kind, Kind.ENUM, Kind.ENUM64))
        if kind is Kind.ENUM:
            # Larger ones, unsigned, are what libbpf gets wrong: it takes them for negative.
            small = [v.value if -(1 << 31) <= v.value < 1 << 31 else v.value & 0x7FFFFFFF for v in values]
            values = [v._replace(value=number) for v, number in zip(values, small)]
        size = self.random.choice((found.size, 4 if kind is Kind.ENUM else 8, 1))
        return t.Enum(found.id, kind, self._flavoured(found.name), size, self.random.random() < 0.5, tuple(values))

    def _proto(self, found: t.FuncProto) -> Type:
        params = list(found.params)
        if params and self.random.random() < 0.5:
            params.pop()
        params = [p._replace(type=self._leaf()) if self.random.random() < 0.3 else p for p in params]
        return found._replace(params=tuple(params), type=self.random.choice((found.type, 0, self._leaf())))

    def _fwd(self, found: t.Fwd) -> Type:
        return found._replace(is_union=not found.is_union)


CHANGES: tuple[tuple[object, Callable[..., Type]], ...] = (
    (t.Int, Variation._int),
    ((t.Ptr, t.Typedef, t.Const), Variation._pointing),
    (t.Array, Variation._array),
    (t.Composite, Variation._composite),
    (t.Enum, Variation._enum),
    (t.FuncProto, Variation._proto),
    (t.Fwd, Variation._fwd),
)
