"""Decoders and encoders built from BTF."""

from __future__ import annotations

import struct

import pytest

from pybpfload.btf import Kind
from pybpfload.btf import types as t
from pybpfload.btf.layout import codec_of, layout_of
from pybpfload.errors import BtfError, RecordError
from tests.support.types import Types


def event_types() -> tuple[Types, int]:
    """A header inside, bitfields, an array, a union without a name, an enum and text at the end."""
    made = Types()
    u8, u16, u32, u64 = (made.int(f"u{s * 8}", s, signed=False) for s in (1, 2, 4, 8))
    i32 = made.int("int")
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    stamp = made.typedef("stamp", u64)
    header = made.struct("header", 16, ("time", stamp, 0), ("pid", u32, 8))
    either = made.struct("", 4, ("word", u32, 0), ("byte", u8, 0), kind=Kind.UNION)
    shape = made.enum("shape", ("ROUND", 1), ("SQUARE", 2))
    text = made.typedef("text", made.array(char, 16))
    event = made.struct(
        "event",
        56,
        ("", header, 0, 0),
        ("low", u32, 128, 3),
        ("high", i32, 131, 5),
        ("list", made.array(u16, 3), 160, 0),
        ("", either, 224, 0),
        ("shape", shape, 256, 0),
        ("text", text, 288, 0),
    )
    return made, event


RAW = struct.pack("<QI4xI3HxxIi16s4x", 7, 42, 5 | (-7 & 31) << 3, 1, 2, 3, 0x01020304, 2, b"hello")


def test_unpack_reads_every_kind_of_member():
    """Numbers, nested members in place, bitfields with sign, arrays, unions, enums, text."""
    made, event = event_types()
    record = layout_of(made.btf(), event).decode(RAW)
    assert record.asdict() == {
        "time": 7, "pid": 42, "low": 5, "high": -7, "list": (1, 2, 3), "word": 0x01020304, "byte": 4,
        "shape": 2, "text": b"hello",
    }  # fmt: skip
    assert (record.pid, record["text"], record[0]) == (42, b"hello", 7)


def test_fields_name_their_typedefs_and_enums():
    """What a field means is written in its type's name."""
    made, event = event_types()
    layout = layout_of(made.btf(), event)
    assert layout["time"].type_name == "stamp"
    assert layout["text"].kind == "chars"
    assert layout["shape"].enum == {1: "ROUND", 2: "SQUARE"}


def test_pack_is_the_inverse_of_unpack():
    """A record written from its own values is the same bytes."""
    made, event = event_types()
    layout = layout_of(made.btf(), event)
    record = layout.decode(RAW)
    values = {k: v for k, v in record.asdict().items() if k != "byte"}
    assert layout.pack_value(values) == RAW


def test_unpack_short_record_has_the_used_part_of_its_text():
    """Only the used bytes of a last array of char need be sent."""
    made = Types()
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    record = made.struct("s", 20, ("n", made.int(), 0), ("text", made.array(char, 16), 4))
    layout = layout_of(made.btf(), record)
    assert layout.min_size == 4
    assert layout.unpack(struct.pack("<i", 3) + b"abc\0", 0, 8) == (3, b"abc")
    assert layout.unpack(struct.pack("<i", 3), 0, 4) == (3, b"")


@pytest.mark.parametrize(("offset", "size"), [(0, 3), (0, 57), (-1, 56), (1, 56)])
def test_unpack_outside_the_buffer_is_refused(offset, size):
    """A record can be neither shorter than its members nor longer than the buffer."""
    made, event = event_types()
    with pytest.raises(RecordError):
        layout_of(made.btf(), event).unpack(RAW, offset, size)


def test_union_gives_each_member_that_fits():
    """A short record of a union has only the members that it covers."""
    made = Types()
    small = made.struct("small", 4, ("a", made.int(), 0))
    large = made.struct("large", 8, ("a", 1, 0), ("b", 1, 4))
    union = made.struct("any", 8, ("small", small, 0), ("large", large, 0), kind=Kind.UNION)
    layout = layout_of(made.btf(), union)
    short = layout.decode(struct.pack("<i", 9))
    assert short.small.a == 9
    assert short.large is None
    assert layout.member("large").names == ("a", "b")


def test_member_that_is_none_is_refused():
    """Asking for what is not there names it."""
    made, event = event_types()
    with pytest.raises(BtfError, match="no member `nope`"):
        layout_of(made.btf(), event).member("nope")


def test_layout_that_contains_itself_is_refused():
    """Hostile types do not recurse for ever."""
    made = Types()
    made.add(lambda i: t.Composite(i, Kind.STRUCT, "s", 4, (t.Member("s", i, 0, 0),)))
    with pytest.raises(BtfError, match="deeper than 32"):
        layout_of(made.btf(), 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1 << 32, "no uint of 4 bytes"),
        ("x", "no uint of 4 bytes"),
        (-1, "no uint of 4 bytes"),
        (b"abc", "3 bytes, expected 4"),
    ],
)
def test_pack_value_that_does_not_fit_is_refused(value, message):
    """Numbers are checked against their type."""
    made = Types()
    made.int("u32", signed=False)
    with pytest.raises(RecordError, match=message):
        codec_of(made.btf(), 1).pack_value(value)


def test_member_called_like_a_dunder_is_no_attribute():
    """A hostile member name cannot replace the methods of records."""
    made = Types()
    made.struct("s", 4, ("__class__", made.int(), 0))
    record = layout_of(made.btf(), 2).decode(struct.pack("<i", 5))
    assert record["__class__"] == 5
    assert isinstance(record, tuple)


def test_layout_of_a_member_beyond_the_end_is_refused():
    """A struct that claims to be smaller than its members: nothing could be decoded from it."""
    made = Types()
    made.struct("s", 4, ("a", made.int(), 0), ("b", 1, 4))
    with pytest.raises(BtfError, match=r"struct s: member `b` of 4 bytes at 4 does not fit in 4"):
        layout_of(made.btf(), 2)


def test_text_at_the_end_has_no_padding():
    """What the compiler puts behind it to fill the struct is no part of it."""
    made = Types()
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    record = made.struct("s", 12, ("n", made.int(), 0), ("text", made.array(char, 5), 4))
    layout = layout_of(made.btf(), record)
    assert layout.unpack(struct.pack("<i", 3) + b"abcdeXYZ", 0, 12) == (3, b"abcde")
    assert layout.unpack(struct.pack("<i", 3) + b"abcde", 0, 9) == (3, b"abcde")


def test_text_that_begins_within_another_member_is_no_end():
    """Members that overlap: each needs its bytes."""
    made = Types()
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    record = made.struct("s", 12, ("n", made.int("u64", 8), 0), ("text", made.array(char, 4), 6))
    layout = layout_of(made.btf(), record)
    assert layout.min_size == 12
    with pytest.raises(RecordError):
        layout.unpack(bytes(6), 0, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda made: made.struct("s", 4, ("n", made.int("u64", 8), 0)), "does not fit in 4"),
        (lambda made: made.add(lambda i: t.Int(i, "n", 1 << 31, 8, 0, 0)), "integer of 2147483648 bytes"),
        (lambda made: made.struct("s", 8, ("n", made.int("n", 4, bits=8), 0, 200)), "bitfield of 200 bits"),
        (lambda made: doubled(made, 20, Kind.UNION, "m"), "values in 1 bytes"),
        (lambda made: doubled(made, 20, Kind.STRUCT, ""), "more members than"),
    ],
)
def test_layout_that_cannot_be_is_refused(make, message):
    """Types that would take all memory or time; none comes from a compiler."""
    made = Types()
    number = make(made)
    with pytest.raises(BtfError, match=message):
        codec_of(made.btf(), number)


def doubled(made: Types, depth: int, kind: Kind, name: str) -> int:
    """One byte that is two of one byte that is two, and so on; returns the outermost."""
    inner = made.int("u8", 1)
    for _ in range(depth):
        names = (f"{name}0", f"{name}1") if name else ("", "")
        inner = made.struct("", 1, *((n, inner, 0) for n in names), kind=kind)
    return inner
