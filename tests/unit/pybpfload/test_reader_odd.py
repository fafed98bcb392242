"""Objects that are at fault, or unusual, in a part: the rest can be used."""

from __future__ import annotations

import itertools
import struct

import pytest

import pybpfload
from pybpfload import kconfig, targets
from pybpfload.btf import Btf
from pybpfload.btf.layout import codec_of
from pybpfload.errors import ObjectError, RecordError
from pybpfload.spec import RefKind
from pybpfload.uapi import MapType
from tests.fuzz import hostile
from tests.support.commands import run
from tests.support.objects import read
from tests.support.types import Types


def test_read_undefined_symbol_is_a_matter_of_who_uses_it():
    """As cilium/ebpf: the object is read, and all of it relocated."""
    spec = read("odd")
    linked = spec.relocate().programs
    assert [(ref.kind, ref.name) for ref in linked["calls_nowhere"].refs] == [(RefKind.UNDEFINED, "nowhere")]
    assert linked["on_enter"].refs[0].kind is RefKind.MAP


def test_read_alias_makes_a_program_of_its_own():
    """As libbpf: each global name of a function is a program."""
    spec = read("odd")
    assert list(spec.programs) == ["calls_nowhere", "on_enter", "same_again"]
    linked = spec.relocate().programs
    assert linked["on_enter"].code == linked["same_again"].code


def test_read_map_of_an_unknown_type_keeps_the_number():
    """Only to create it is an error."""
    later = read("odd").maps["later"]
    assert later.type == 777
    assert repr(later) == "<MapSpec later type 777>"


def test_read_values_of_a_map_without_a_size():
    """The caller says how many entries it has."""
    outer = read("odd").maps["outer"]
    assert (outer.max_entries, outer.values) == (0, {0: "first", 2: "third"})


def test_read_plain_maps_of_other_sections():
    """SEC("maps/counts")."""
    counts = read("legacy_named").maps["counts"]
    assert (counts.type, counts.key_size, counts.value_size, counts.max_entries) == (MapType.ARRAY, 4, 8, 16)


def test_variables_of_one_name_have_longer_ones():
    """A linker leaves static variables of several files."""
    spec = read("maps")
    first = spec.variables.spec(next(iter(spec.variables)))
    spec.variables.add(first._replace(offset=first.offset + 4))
    spec.variables.add(first._replace(offset=first.offset + 8))
    names = [f"{first.name}@{first.map.name}+{first.offset + more}" for more in (0, 4, 8)]
    assert set(names) <= set(spec.variables)
    with pytest.raises(KeyError, match="several variables") as caught:
        spec.variables[first.name]
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize("value", ["false", "n", 1.5, 2, None, [], object()])
def test_variable_of_type_bool_takes_true_and_false_only(value):
    """Anything else would become True without a word."""
    made = Types()
    number = made.int("_Bool", 1, is_bool=True)
    codec = codec_of(made.btf(), number)
    with pytest.raises(RecordError, match="is no bool"):
        codec.pack_value(value)
    assert [codec.pack_value(x) for x in (True, 0, 1)] == [b"\1", b"\0", b"\1"]


def test_relocations_of_many_programs_take_no_memory_each():
    """Programs that share a function share what is known about it."""
    spec = pybpfload.read_object(hostile.programs_that_share(1000))
    listed, decided = spec.relocations, spec.relocate(spec.types()).relocations
    assert [(r.program, r.slot) for r in listed[::997]] == [(r.program, r.slot) for r in decided[::997]]
    assert len(listed) == 999_000
    assert len(listed._parts[0][2]) == 999
    assert all(part[2] is listed._parts[0][2] for part in listed._parts)
    assert (listed[-1].program, listed[-1].slot) == ("p999", 2 + 998)
    assert listed[1:3] == list(itertools.islice(listed, 1, 3))
    with pytest.raises(IndexError):
        listed[len(listed)]


def test_name_that_is_stored_twice_is_found_twice():
    """Also as the tail of another; producers that merge neither exist."""
    strings = b"\0int\0foo\0a\0foo\0xfoo\0"
    struct_kind = 4 << 24
    raw = [[1, 1 << 24, 4, 1 << 24 | 32], *([at, struct_kind, 0] for at in (5, 11, 16))]
    body = b"".join(struct.pack(f"={len(row)}I", *row) for row in raw)
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings))
    assert Btf(head + body + strings).ids("foo") == [2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(60)])
def test_find_kernel_goes_on_behind_a_file_that_is_not_btf(tmp_path, monkeypatch, content):
    """Whatever lies at one of the places, the next may be right."""
    made = Types()
    made.int("int")
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(made.blob())
    monkeypatch.setattr(targets, "VMLINUX_PATHS", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert targets._find_kernel().ids("int") == [1]


# Encoding of the integer, its size, text of the option -> value, None when it is refused: libbpf's strtoull().
NUMBERS = [
    ("signed", 8, "0xdead000000000000", 0xDEAD000000000000 - (1 << 64)),
    ("signed", 8, "18446744073709551615", -1),
    ("unsigned", 8, "-1", (1 << 64) - 1),
    ("unsigned", 8, "18446744073709551616", None),
    ("signed", 4, "010", 8),
    ("signed", 4, "0", 0),
    ("signed", 4, "-0x10", -16),
    ("signed", 4, "1_000", None),
    ("signed", 4, "0b11", None),
    ("unsigned", 8, "0o17", None),
    ("unsigned", 4, "-1", None),
    ("bool", 1, "1", None),
]


@pytest.mark.parametrize(("encoding", "size", "text", "expected"), NUMBERS)
def test_kconfig_numbers_are_read_as_libbpf_reads_them(encoding, size, text, expected):
    """At full width, a sign is what the type says."""
    made = Types()
    number = made.int("x", size, signed=encoding == "signed", is_bool=encoding == "bool")
    if expected is None:
        with pytest.raises(ObjectError):
            kconfig._value(made.btf(), number, text, "")
    else:
        assert kconfig._value(made.btf(), number, text, "") == expected


def test_cli_names_a_file_that_cannot_be_read(capsys):
    """Also when it could be opened."""
    result = run(capsys, "info", "/proc/self/mem")
    assert (result.code, "/proc/self/mem: " in result.err) == (1, True)


def test_cli_btf_of_the_kernel_has_no_base(capsys):
    """An option is used or refused."""
    result = run(capsys, "btf", "vmlinux", "--base", "x")
    assert (result.code, "--base" in result.err) == (1, True)
