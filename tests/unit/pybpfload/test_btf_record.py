"""Readers made for a layout: they say the same as the codecs, member by member, and keep within their bounds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybpfload.btf import Kind
from pybpfload.btf import types as t
from pybpfload.btf.layout import Record, RecordLayout, layout_of
from pybpfload.btf.record import MAX_VALUES, loop_reader
from pybpfload.errors import BtfError, RecordError
from tests.support.types import Types


class Maker:
    """Draws types: numbers, bitfields, text, arrays, enums, structs and unions in each other, overlapping or not."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.types = made = Types()
        self.numbers = [made.int(f"n{s}{u}", s, signed=not u) for s in (1, 2, 4, 8) for u in (0, 1)]
        self.char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
        self.plain = [
            made.add(lambda i: t.Int(i, "bool", 1, 8, 0, 4)),
            made.enum("e", ("A", 0), ("B", 1)),
            made.add(lambda i: t.Float(i, "float", 4)),
            made.ptr(),
            made.int("wide", 16),
        ]

    def size(self, type_id: int) -> int:
        return self.types.btf().size_of(type_id)

    def type(self, depth: int) -> int:
        kinds = ["number", "number", "plain", "chars", *(["array", "struct", "union"] if depth else [])]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "chars":
            return self.types.array(self.char, self.draw(st.integers(0, 20)))
        if kind == "array":
            return self.types.array(self.type(depth - 1), self.draw(st.integers(0, 40)))
        if kind in ("struct", "union"):
            return self.composite(depth - 1, Kind.UNION if kind == "union" else Kind.STRUCT)
        return self.draw(st.sampled_from(self.numbers if kind == "number" else self.plain))

    def composite(self, depth: int, kind: Kind = Kind.STRUCT) -> int:
        members, at = [], 0
        for number in range(self.draw(st.integers(0, 6))):
            type_id = self.type(depth)
            size = self.size(type_id)
            is_bits = type_id in self.numbers and self.draw(st.booleans())
            width = self.draw(st.integers(1, size * 8)) if is_bits else 0
            start = 0 if kind is Kind.UNION else max(0, at + self.draw(st.integers(-4, 3)))
            shift = self.draw(st.integers(0, size * 8 - width)) if width else 0
            members.append((f"m{number}", type_id, start * 8 + shift, width))
            at = max(at, start + size)
        return self.types.struct(f"s{len(self.types.all)}", at, *members, kind=kind)


@st.composite
def layouts(draw) -> RecordLayout:
    made = Maker(draw)
    top = made.composite(2)
    btf = made.types.btf()
    btf.big_endian = draw(st.booleans())  # only what the values are read as
    return layout_of(btf, top)


@settings(max_examples=300, deadline=None)
@given(layouts(), st.data())
def test_made_reader_says_what_the_codecs_say(layout, data):
    """All members of any layout, alone and in rows, whole and with a short end."""
    size = data.draw(st.integers(layout.min_size, layout.size + 4))
    skip, gap = data.draw(st.integers(0, 16)), data.draw(st.integers(0, 8))
    stride = skip + size + gap
    raw = data.draw(st.binary(min_size=3 * stride, max_size=3 * stride))
    slow, fast = loop_reader(layout, {}, (), tuple, False), layout.reader(into=tuple)
    expected = repr([slow(raw, skip + i * stride, size) for i in range(3)])
    assert repr([fast(raw, skip + i * stride, size) for i in range(3)]) == expected
    if stride:
        assert repr(fast.read_many(raw, 0, 3, stride=stride, size=size, skip=skip)) == expected


def event_layout() -> RecordLayout:
    """Two numbers, a text, a nested pair, a text that may be short."""
    made = Types()
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    number = made.int("u32", signed=False)
    pair = made.struct("pair", 8, ("a", number, 0), ("b", number, 4))
    comm, path = made.array(char, 12), made.array(char, 24)
    made.struct("event", 48, ("pid", number, 0), ("comm", comm, 4), ("pair", pair, 16), ("path", path, 24))
    return layout_of(made.btf(), len(made.all))


RAW = struct.pack("<I12sII24s", 7, b"cat", 1, 2, b"/etc/x\0\0")


def test_reader_converts_members_in_one_pass():
    """A converter gets what would be the value, and its result takes the place."""
    layout = event_layout()
    reader = layout.reader({"comm": bytes.decode, "pair": sum, "path": len})
    record = reader(RAW)
    assert record.asdict() == {"pid": 7, "comm": "cat", "pair": 3, "path": 6}
    assert reader.read_many(RAW * 2, 0, 2) == [record, record]


def test_reader_gives_raw_arrays_on_request():
    """All bytes, also the NULs at the end: some may belong to the data."""
    layout = event_layout()
    assert layout.reader(raw=["comm", "path"])(RAW, 0, 33)[1::2] == (b"cat".ljust(12, b"\0"), b"/etc/x\0\0\0")
    assert layout.reader({"comm": len}, raw={"comm"})(RAW).comm == 12


def test_reader_makes_what_it_is_told_to():
    """Records, tuples, dicts, or whatever a function makes of the values."""
    layout = event_layout()
    assert type(layout.reader(into=tuple)(RAW)) is tuple
    assert layout.reader(into=dict)(RAW) == {"pid": 7, "comm": b"cat", "pair": (1, 2), "path": b"/etc/x"}
    assert layout.reader(into=lambda pid, comm, pair, path: (path, pair.b))(RAW) == (b"/etc/x", 2)
    assert isinstance(layout.decode(RAW), Record)


def test_reader_cuts_a_short_end_at_its_nul():
    """What a perf buffer leaves behind a text does not show."""
    layout = event_layout()
    assert layout.reader(cut=True)(RAW[:24] + b"/x\0junk").path == b"/x"
    assert layout.reader(cut=True)(RAW[:24] + b"/x").path == b"/x"
    assert layout.reader()(RAW[:24] + b"/x\0junk").path == b"/x\0junk"


def test_reader_of_a_member_that_is_none_is_refused():
    """A typing error does not pass as a converter that is never called."""
    with pytest.raises(RecordError, match="no member `pth`; there are pid, comm, pair, path"):
        event_layout().reader({"pth": len})


@pytest.mark.parametrize(
    ("offset", "count", "how"),
    [
        (0, 3, {}), (-1, 1, {}), (1, 2, {}), (0, -1, {}), (0, 1, {"size": 23}), (0, 2, {"stride": 47}),
        (0, 2, {"skip": 1}), (0, 1, {"skip": -1, "stride": 48}), (0, 1 << 60, {}),
    ],
)  # fmt: skip
def test_read_many_outside_the_buffer_is_refused(offset, count, how):
    """Neither in front of it nor behind it, nor into the next record."""
    with pytest.raises(RecordError):
        event_layout().reader().read_many(RAW * 2, offset, count, **how)


def test_read_many_leaves_no_buffer_in_use_after_an_error():
    """The mapping below can be closed though the traceback lives."""
    memory = bytearray(RAW * 4)
    buffer = memoryview(memory)
    with pytest.raises(UnicodeDecodeError) as caught:
        event_layout().reader({"comm": lambda raw: b"\xff".decode()}).read_many(buffer, 0, 4)
    buffer.release()
    memory.clear()  # BufferError while anything sees it
    assert caught.traceback


def test_decode_many_takes_what_the_buffer_has():
    """As values of a map come: one after the other."""
    layout = event_layout()
    assert [r.pid for r in layout.decode_many(RAW * 3)] == [7, 7, 7]
    assert [r.pid for r in layout.decode_many(RAW * 3, 2, stride=52)] == [7, 0x746163]


HOSTILE = ["class", "__init__", "a b", "v0", "size", "1); import os; (", "\N{SNOWMAN}", "names", "read", "z", ""]


def test_member_names_are_no_code():
    """Names are looked up, never run; whatever they are, the values are right."""
    made = Types()
    number = made.int("u8", 1, signed=False)
    names = [name for name in HOSTILE if name]
    made.struct("def f(): pass", len(names), *((name, number, i) for i, name in enumerate(names)))
    layout = layout_of(made.btf(), 2)
    record = layout.reader(dict.fromkeys(names[::2], str))(bytes(range(len(names))))
    assert list(record.asdict().values()) == [i if i % 2 else str(i) for i in range(len(names))]
    assert layout.reader(into=dict)(bytes(len(names))) == dict.fromkeys(names, 0)


def test_layout_of_more_values_than_a_function_has_is_read_member_by_member():
    """No endless function, and the same values."""
    made = Types()
    number = made.int("u8", 1, signed=False)
    count = MAX_VALUES + 1
    made.struct("s", count, *((f"m{i}", number, i) for i in range(count)))
    layout = layout_of(made.btf(), 2)
    raw = bytes(range(251))
    assert tuple(layout.decode(raw)) == tuple(range(251))
    assert not layout.reader().batched
    assert layout.reader(into=tuple).read_many(raw * 2, 0, 2) == [tuple(range(251))] * 2


@pytest.mark.parametrize("kind", [Kind.STRUCT, Kind.UNION])
def test_layout_that_grows_without_end_is_refused(kind):
    """Thirty structs of no size, each twice in the next, would be a thousand million values."""
    made = Types()
    inner = made.struct("s", 0)
    for _ in range(30):
        inner = made.struct("s", 0, ("a", inner, 0), ("b", inner, 0), kind=kind)
    with pytest.raises(BtfError, match=r"values in 0 bytes"):
        layout_of(made.btf(), inner)


def test_layout_with_a_member_behind_its_end_is_refused():
    """A member that says it lies elsewhere reads nothing of the next record."""
    made = Types()
    made.struct("s", 4, ("a", made.int(), 1))
    with pytest.raises(BtfError, match="member `a` of 4 bytes at 1 does not fit in 4"):
        layout_of(made.btf(), 2)


def test_short_end_that_overlaps_is_none():
    """A union at the end has to be there whole: its other members are more than text."""
    made = Types()
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    text, number = made.array(char, 8), made.int("u64", 8)
    made.struct("s", 16, ("n", number, 0), ("word", number, 8), ("text", text, 8))
    assert layout_of(made.btf(), len(made.all)).min_size == 16
