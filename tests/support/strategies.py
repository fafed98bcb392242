"""Hypothesis strategies: BTF of any shape, structs as C could have them, values that fit their types."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from pybpfload.btf import Kind
from pybpfload.btf import types as t
from tests.support.types import Types

U32 = st.integers(0, (1 << 32) - 1)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NONE = st.just("")
IDENTIFIERS = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)


IDS = st.integers(0, 12)
BYTE = st.integers(0, 255)
OFFSET = st.integers(0, (1 << 24) - 1)
ANY = st.just(0)  # the id, which is given in the end


def _members(offset: st.SearchStrategy[int], width: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[t.Member, ...]]:
    return st.lists(st.builds(t.Member, NAMES, IDS, offset, width), max_size=4).map(tuple)


def _enum(kind: Kind, bits: int, *, signed: bool) -> st.SearchStrategy[t.Type]:
    low = -(1 << (bits - 1)) if signed else 0
    numbers = st.integers(low, low + (1 << bits) - 1)
    values = st.lists(st.builds(t.Enumerator, NAMES, numbers), max_size=4).map(tuple)
    return st.builds(t.Enum, ANY, st.just(kind), NAMES, U32, st.just(signed), values)


KINDS = st.one_of(
    st.builds(t.Int, ANY, NAMES, U32, BYTE, BYTE, st.integers(0, 15)),
    st.builds(t.Ptr, ANY, IDS, NONE),
    st.builds(t.Array, ANY, IDS, IDS, U32, NONE),
    # Offsets have 24 bits as soon as one member is a bitfield.
    st.builds(t.Composite, ANY, st.just(Kind.STRUCT), NAMES, U32, _members(OFFSET, BYTE)),
    st.builds(t.Composite, ANY, st.just(Kind.UNION), NAMES, U32, _members(U32, st.just(0))),
    _enum(Kind.ENUM, 32, signed=False),
    _enum(Kind.ENUM, 32, signed=True),
    _enum(Kind.ENUM64, 64, signed=False),
    _enum(Kind.ENUM64, 64, signed=True),
    st.builds(t.Fwd, ANY, NAMES, st.booleans()),
    st.builds(t.Typedef, ANY, NAMES, IDS),
    st.builds(t.Const, ANY, st.sampled_from([Kind.CONST, Kind.VOLATILE, Kind.RESTRICT]), IDS, NONE),
    st.builds(t.TypeTag, ANY, NAMES, IDS, st.booleans()),
    st.builds(t.Func, ANY, NAMES, IDS, st.integers(0, (1 << 16) - 1)),
    st.builds(t.FuncProto, ANY, IDS, st.lists(st.builds(t.Param, NAMES, IDS), max_size=4).map(tuple), NONE),
    st.builds(t.Var, ANY, NAMES, IDS, U32),
    st.builds(t.Datasec, ANY, NAMES, U32, st.lists(st.builds(t.SectionVar, IDS, U32, U32), max_size=4).map(tuple)),
    st.builds(t.Float, ANY, NAMES, U32),
    st.builds(t.DeclTag, ANY, NAMES, IDS, st.integers(-1, (1 << 31) - 1)),
)


def any_types() -> st.SearchStrategy[list[t.Type]]:
    """Types of all kinds that refer to each other, or to nothing, without any sense; ids begin at 1."""
    return st.lists(KINDS, min_size=1, max_size=12).map(lambda made: [x._replace(id=i) for i, x in enumerate(made, 1)])


class Shape(NamedTuple):
    """A type as a value can have it.

    Attributes:
        values: a strategy of what it can hold.
        steps: its members or elements, for paths into it: (number, shape).
    """

    type_id: int
    size: int
    values: st.SearchStrategy[Any]
    steps: tuple[tuple[int, Shape], ...] = ()


class Structs(NamedTuple):
    """Types made for one struct, which is the last of them."""

    made: Types
    root: Shape


@st.composite
def structs(draw: st.DrawFn, *, floats: bool = True) -> Structs:
    """A struct of members that do not overlap: numbers, text, enums, bitfields, arrays, structs in it."""
    made = Types()
    return Structs(made, draw(_struct(made, draw(st.integers(0, 2)), floats)))


def _number(made: Types, size: int, signed: bool) -> Shape:
    type_id = made.int(f"{'s' if signed else 'u'}{size * 8}", size, signed=signed)
    low = -(1 << (size * 8 - 1)) if signed else 0
    return Shape(type_id, size, st.integers(low, low + (1 << size * 8) - 1))


@st.composite
def _scalar(draw: st.DrawFn, made: Types, floats: bool) -> Shape:
    kind = draw(st.sampled_from(["int", "int", "bool", "enum", "ptr", "text", *(["float"] if floats else [])]))
    size = draw(st.sampled_from([1, 2, 4, 8]))
    if kind == "bool":
        return Shape(made.add(lambda i: t.Int(i, "bool", 1, 8, 0, 4)), 1, st.booleans())
    if kind == "enum":
        size = max(4, size)
        values = {f"E{len(made.all)}x{k}": k for k in range(draw(st.integers(1, 3)))}
        return Shape(made.enum(f"e{len(made.all)}", *values.items(), size=size), size, st.integers(0, (1 << 32) - 1))
    if kind == "ptr":
        return Shape(made.ptr(0), 8, st.integers(0, (1 << 64) - 1))
    if kind == "text":
        char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 1))
        size = draw(st.integers(1, 9))
        text = st.binary(max_size=size).map(lambda raw: raw.rstrip(b"\0"))
        return Shape(made.array(char, size), size, text)
    if kind == "float":
        size = max(4, size)
        values = st.floats(width=32 if size == 4 else 64, allow_nan=False)
        return Shape(made.add(lambda i: t.Float(i, f"f{size}", size)), size, values)
    return _number(made, size, draw(st.booleans()))


@st.composite
def _struct(draw: st.DrawFn, made: Types, depth: int, floats: bool) -> Shape:
    members: list[t.Member] = []
    steps: list[tuple[int, Shape]] = []
    at = 0
    for i in range(draw(st.integers(1, 4))):
        what = draw(st.sampled_from(["scalar", "scalar", "bits", "array", "struct"]))
        if what == "bits":
            unit = _number(made, 4, draw(st.booleans()))
            width = draw(st.integers(1, 31))
            start = draw(st.integers(0, 32 - width))
            signed = made.all[unit.type_id - 1].signed
            low = -(1 << (width - 1)) if signed else 0
            shape = Shape(unit.type_id, 4, st.integers(low, low + (1 << width) - 1))
            at = -(-at // 4) * 4
            members.append(t.Member(f"m{i}", unit.type_id, at * 8 + start, width))
        else:
            if what == "struct" and depth:
                shape = draw(_struct(made, depth - 1, floats))
            elif what == "array":
                element = _number(made, draw(st.sampled_from([2, 4, 8])), draw(st.booleans()))
                count = draw(st.integers(1, 4))
                values = st.tuples(*([element.values] * count))
                shape = Shape(made.array(element.type_id, count), element.size * count, values, ((count - 1, element),))
            else:
                shape = draw(_scalar(made, floats))
            at += draw(st.integers(0, 9))
            at = -(-at // 4) * 4 if what == "struct" else at  # for its bitfields
            members.append(t.Member(f"m{i}", shape.type_id, at * 8, 0))
        steps.append((i, shape))
        at += shape.size
    size = at + draw(st.integers(0, 9))
    name = f"s{len(made.all)}"
    type_id = made.add(lambda i: t.Composite(i, Kind.STRUCT, name, size, tuple(members)))
    return Shape(type_id, size, st.tuples(*(shape.values for _, shape in steps)), tuple(steps))


@st.composite
def paths(draw: st.DrawFn, root: Shape) -> tuple[str, Shape]:
    """An access into a struct, as a relocation has it, and what it leads to."""
    access, shape = "0", root
    while shape.steps and (shape is root or draw(st.booleans())):
        number, shape = draw(st.sampled_from(shape.steps))
        access += f":{number}"
    return access, shape
