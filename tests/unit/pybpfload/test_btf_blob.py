"""BTF blobs: what is written is read, what is malformed is refused."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybpfload.btf import Btf, Kind, essential_name
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.errors import BtfError
from tests.support.types import Types, split_struct


def every_kind() -> Types:
    """One type of each kind, each with all that it can say."""
    made = Types()
    number = made.int("int")
    pointer = made.ptr(number)
    made.array(number, 7)
    struct_id = made.struct("s", 16, ("a", number, 0), ("b", pointer, 8))
    made.struct("bits", 4, ("x", number, 0, 3), ("y", number, 3, 29))
    made.struct("u", 8, ("a", number, 0), kind=Kind.UNION)
    made.enum("e", ("NEGATIVE", -2), ("ONE", 1), signed=True)
    made.enum("wide", ("TOP", (1 << 64) - 1), size=8)
    made.add(lambda i: t.Fwd(i, "fwd", True))
    typedef = made.typedef("name", struct_id)
    for kind in (Kind.CONST, Kind.VOLATILE, Kind.RESTRICT):
        made.add(lambda i, kind=kind: t.Const(i, kind, typedef))
    proto = made.add(lambda i: t.FuncProto(i, number, (t.Param("x", number), t.Param("", 0))))
    made.add(lambda i: t.Func(i, "f", proto, t.Linkage.GLOBAL))
    var = made.add(lambda i: t.Var(i, "v", number, t.Linkage.STATIC))
    made.add(lambda i: t.Datasec(i, ".data", 4, (t.SectionVar(var, 0, 4),)))
    made.add(lambda i: t.Float(i, "double", 8))
    made.add(lambda i: t.DeclTag(i, "tag", struct_id, -1))
    made.add(lambda i: t.TypeTag(i, "user", number, False))
    return made


def test_encode_every_kind_reads_back_equal():
    """Encoding and decoding is the identity, for each of the 19 kinds."""
    made = every_kind()
    assert list(made.btf()) == made.all
    assert {x.kind for x in made.all} == set(Kind) - {Kind.VOID}


def swapped(blob: bytes) -> bytes:
    """The blob as a host of the other byte order writes it."""
    little = sys.byteorder == "little"
    ours, theirs = ("<", ">") if little else (">", "<")
    magic, version, flags, *rest = struct.unpack_from(ours + "HBB5I", blob)
    header = struct.pack(theirs + "HBB5I", magic, version, flags, *rest)
    words = struct.unpack_from(f"{ours}{rest[2] // 4}I", blob, 24)
    return header + struct.pack(f"{theirs}{len(words)}I", *words) + blob[24 + rest[2] :]


def test_read_other_byte_order_gives_the_same_types():
    """Big-endian BTF is swapped once, and then like any other."""
    made = every_kind()
    btf = Btf(swapped(made.blob()))
    assert btf.big_endian == (sys.byteorder == "little")
    assert list(btf) == made.all


def test_index_with_layout_section_skips_unknown_kinds():
    """A kind of the future is stepped over when the blob says how long its records are."""
    future = (
        struct.pack("=4I", 0, 25 << 24 | 2, 9, 77) + struct.pack("=2I", 5, 6) + struct.pack("=4I", 1, 1 << 24, 4, 32)
    )
    strings = b"\0int\0"
    layout = b"".join(struct.pack("=BBH", 4 if kind in (1, 25) else 0, 4 if kind == 25 else 0, 0) for kind in range(26))
    header = struct.pack(
        "=HBB7I", 0xEB9F, 1, 0, 32, 0, len(future), len(future) + len(layout), len(strings), len(future), len(layout)
    )
    btf = Btf(header + future + layout + strings)
    assert isinstance(btf.type(1), t.Unknown)
    assert btf.type(2).name == "int"


def test_index_unknown_kind_without_layout_is_refused():
    """Without the layout section nobody knows where the next type begins."""
    types = struct.pack("=3I", 0, 25 << 24, 0)
    header = struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, len(types), len(types), 1)
    with pytest.raises(BtfError, match="type 1: unknown kind 25"):
        len(Btf(header + types + b"\0"))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "too short"),
        (b"\x7fELF" + bytes(40), "bad BTF magic"),
        (struct.pack("=HBB5I", 0xEB9F, 2, 0, 24, 0, 0, 0, 1) + b"\0", "version 2"),
        (struct.pack("=HBB5I", 0xEB9F, 1, 0, 99, 0, 0, 0, 1) + b"\0", "header length 99"),
        (struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, 400, 0, 1) + b"\0", "type section 0\\+400"),
        (struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 2, 0, 0, 1) + b"\0\0\0", "whole number of words"),
        (struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, 0, 0, 0), "string section is empty"),
        (struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, 0, 0, 2) + b"\0x", "neither begins nor ends"),
    ],
)
def test_read_malformed_header_says_what_is_wrong(blob, message):
    """Each way in which a header can lie has its own message."""
    with pytest.raises(BtfError, match=message):
        Btf(blob)


def test_type_beyond_the_last_is_refused():
    """An id that nobody has is an error, not an IndexError."""
    with pytest.raises(BtfError, match="type id 99 is not below 2"):
        one_int().btf().type(99)


def one_int() -> Types:
    """Just an int."""
    made = Types()
    made.int()
    return made


def test_skip_endless_modifiers_is_refused():
    """A const of itself does not hang."""
    made = Types()
    made.add(lambda i: t.Const(i, Kind.CONST, i))
    with pytest.raises(BtfError, match="more than 32 modifiers"):
        made.btf().skip(1)


def test_size_of_nested_arrays_multiplies():
    """int[3][5] has 60 bytes."""
    made = Types()
    outer = made.array(made.array(made.int(), 3), 5)
    assert made.btf().size_of(outer) == 60


def test_size_of_overflow_is_refused():
    """An array of arrays cannot claim more than 4 GiB."""
    made = Types()
    outer = made.array(made.array(made.int(), 1 << 20), 1 << 20)
    with pytest.raises(BtfError, match=r"too large|bytes large"):
        made.btf().size_of(outer)


def test_find_name_that_is_the_tail_of_another_is_found():
    """A producer may let a name share the end of a longer one."""
    strings = b"\0prefixed_name\0"
    words = struct.pack("=4I", strings.index(b"name"), 1 << 24, 4, 32)
    header = struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, len(words), len(words), len(strings))
    assert Btf(header + words + strings).find("name", Kind.INT).id == 1


def test_find_missing_name_suggests_the_closest():
    """A typing error gets a hint."""
    with pytest.raises(BtfError, match="no int `imt`; closest is `int`"):
        one_int().btf().find("imt", Kind.INT)


def test_split_btf_continues_ids_and_strings():
    """A module's types refer to the kernel's by id, and use its strings."""
    base = one_int().btf("vmlinux")
    words = struct.pack("=3I", 1, 2 << 24, 1) + struct.pack("=3I", base.string_size, 8 << 24, 2)
    strings = b"mine\0"
    header = struct.pack("=HBB5I", 0xEB9F, 1, 0, 24, 0, len(words), len(words), len(strings) + 1)
    module = Btf(header + words + b"\0" + strings, base=base, name="module")
    assert module.type(2) == t.Ptr(2, 1)
    assert module.type(1).name == "int"
    assert module.type(3).kind is Kind.TYPEDEF
    assert module.string(base.string_size + 1) == "mine"


@pytest.mark.parametrize(
    ("name", "essential"),
    [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("___x", "___x"),
        ("x___", "x___"),
        ("x____y", "x____y"),
    ],
)
def test_essential_name_drops_the_last_flavour(name, essential):
    """As libbpf's bpf_core_essential_name_len() does."""
    assert essential_name(name) == essential


def test_essential_ids_find_flavoured_names_too():
    """The candidates of `s` are `s` and `s___any`."""
    made = Types()
    number = made.int()
    made.struct("s", 4, ("a", number, 0))
    made.struct("s___v2", 4, ("a", number, 0))
    made.struct("sx", 4, ("a", number, 0))
    assert made.btf().essential_ids("s") == [2, 3]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 64))
def test_read_any_bytes_raises_only_btf_error(noise, at):
    """Whatever is spliced into a good blob, the reader answers with types or BtfError."""
    blob = bytearray(every_kind().blob())
    blob[at : at + len(noise)] = noise
    try:
        btf = Btf(bytes(blob))
        for found in btf:
            btf.describe(found.id)
            btf.size_of(found.id)
    except BtfError:
        pass


def test_encode_keeps_the_given_strings_in_place():
    """Line info refers to strings by offset: they must not move."""
    strings = b"\0first.c\0int x;\0"
    btf = Btf(encode(one_int().all, strings=strings))
    assert btf.string(1) == "first.c"
    assert btf.string(strings.index(b"int x;")) == "int x;"
    assert btf.type(1).name == "int"


def test_split_btf_without_an_empty_string_is_read():
    """A module's strings continue the kernel's, so the first of them is a name; it is found, flavoured or not."""
    made = Types()
    made.int()
    kernel = made.btf("vmlinux")
    blob = split_struct(kernel, "mine___old", "member", 1)
    module = Btf(blob, base=kernel, name="module")
    assert module.ids("mine___old") == module.essential_ids("mine") == [2]
    with pytest.raises(BtfError, match="needs a base"):
        Btf(blob)


def test_kinds_are_those_of_the_types():
    """Without decoding them."""
    made = every_kind()
    btf = made.btf()
    assert list(btf.kinds()) == [x.kind for x in made.all]
    assert list(btf.of_kind(Kind.STRUCT)) == [x for x in made.all if x.kind is Kind.STRUCT]
    assert btf.data == made.blob()
