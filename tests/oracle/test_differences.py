"""The comparison itself: it must see what differs."""

from __future__ import annotations

import struct

import pytest

from tests.support.differences import differences, first_difference
from tests.support.loads import Load, Loads, listing

LOAD = Load(1, 0, (0, ""), 0, 0x60100, "GPL", ["a", "b", "c"], [(0, 5)], [(0, "f.c", "x", 1, 2)])


def loads(load: Load | None = LOAD, **map_fields: int) -> Loads:
    """One map and one program."""
    made = Loads()
    made.maps = {"m": {"type": 1, "flags": 0, **map_fields}}
    made.updates = {("m", b"k", b"v")}
    if load:
        made.programs = {"p": load}
    else:
        made.errors = {"p": "too bad"}
    return made


def test_differences_of_equals_are_none():
    """Equal is what asks the same."""
    assert differences(loads(), loads()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"type": 2}, {"attach_type": 1}, {"attach": (1, "")}, {"attach": (0, "nfs")}, {"flags": 16},
        {"kernel_version": 1}, {"license": "MIT"}, {"code": ["a", "b"]}, {"code": ["a", "x", "c"]}, {"funcs": []},
        {"lines": [(0, "f.c", "y", 1, 2)]},
    ],
)  # fmt: skip
def test_differences_of_programs_are_seen(change):
    """Each field counts."""
    assert len(differences(loads(LOAD._replace(**change)), loads())) == 1


def test_differences_of_maps_are_seen():
    """Attributes, contents, and maps that only one creates."""
    assert differences(loads(flags=8), loads()) == ["map `m`: flags is 8, of libbpf 0"]
    other = loads()
    other.updates = {("m", b"k", b"w")}
    assert len(differences(loads(), other)) == 2
    other = loads()
    other.maps = {}
    assert differences(loads(), other) == ["map `m`: only we create it"]


def test_differences_of_refusals_are_seen():
    """Who refuses alone is named, with the reason."""
    assert differences(loads(None), loads()) == ["program `p`: only we refuse: too bad"]
    assert differences(loads(), loads(None)) == ["program `p`: only libbpf refuses: too bad"]
    refused = Loads()
    refused.errors = {"": "worse"}
    assert differences(refused, loads()) == ["only we refuse the object: worse"]
    assert differences(loads(), refused) == ["only libbpf refuses the object: worse"]
    assert differences(refused, refused) == []


def test_first_difference_shows_slot_and_both_sides():
    """A person has to see what it is about."""
    text = first_difference(["a", "b", "c"], ["a", "x", "c"])
    assert "[1] ours   'b'" in text
    assert "[1] libbpf 'x'" in text


def test_listing_names_what_descriptors_are():
    """Descriptors are names, all else is as it stands in the instruction."""
    form = struct.Struct("<BBhi")
    code = b"".join(
        form.pack(*slot)
        for slot in (
            (0x18, 0x11, 0, 7), (0, 0, 0, 0),  # r1 = map
            (0x18, 0x22, 0, 7), (0, 0, 0, 12),  # r2 = value of map, at 12
            (0x18, 0x33, 0, 99), (0, 0, 0, 8),  # r3 = type 99 of a module
            (0x85, 0x20, 1, 98),  # call of kfunc 98 of a module
            (0x95, 0, 0, 0),
        )
    )  # fmt: skip
    assert listing(code, {0: "events", 2: ".bss"}, {4: "nfs", 6: "nfs"}) == [
        "18 dst 1 src 1 off 0 imm map `events`",
        "00 dst 0 src 0 off 0 imm 0x0",
        "18 dst 2 src 2 off 0 imm map `.bss`",
        "00 dst 0 src 0 off 0 imm 0xc",
        "18 dst 3 src 3 off 0 imm type 99 of nfs",
        "00 dst 0 src 0 off 0 imm ",
        "85 dst 0 src 2 off 0 imm type 98 of nfs",
        "95 dst 0 src 0 off 0 imm 0x0",
    ]
