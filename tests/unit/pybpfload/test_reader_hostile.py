"""Objects that no compiler makes: each is refused for what is wrong with it."""

from __future__ import annotations

import struct

import pytest

import pybpfload
from pybpfload.btf import types as t
from pybpfload.btf.ext import CoreKind
from pybpfload.core import match
from pybpfload.errors import CoreError, ObjectError, RelocationError
from tests.fuzz import hostile
from tests.support.elfmaker import ALLOC, EXEC, EXIT, FUNC, GLOBAL, NOBITS, OBJECT, PROGBITS, REL, Elf
from tests.support.types import Types


def with_types(elf: Elf, made: Types) -> bytes:
    """The object with these types."""
    elf.section(".BTF", PROGBITS, 0, made.blob())
    return elf.build()


def variables(*places: tuple[int, int]) -> bytes:
    """Variables at (offset, size) of a section .data of 16 bytes."""
    made, elf = Types(), Elf()
    data = elf.section(".data", PROGBITS, ALLOC, bytes(16))
    number, entries = made.int(), []
    for i, (offset, size) in enumerate(places):
        var = made.add(lambda n, i=i: t.Var(n, f"v{i}", number, t.Linkage.GLOBAL))
        entries.append(t.SectionVar(var, offset, size))
        elf.symbol(f"v{i}", OBJECT | GLOBAL, data, offset, size)
    made.add(lambda n: t.Datasec(n, ".data", 0, tuple(entries)))
    return with_types(elf, made)


def section_listed_twice() -> bytes:
    made = Types()
    for _ in range(2):
        made.add(lambda n: t.Datasec(n, ".data", 0, ()))
    return with_types(Elf(), made)


def section_of_a_terabyte() -> bytes:
    made, elf = Types(), Elf()
    made.add(lambda n: t.Datasec(n, ".x", 0, ()))
    elf.section(".x", NOBITS, ALLOC, 1 << 40)
    return with_types(elf, made)


def functions_that_overlap() -> bytes:
    elf = Elf()
    code = elf.section("xdp", PROGBITS, ALLOC | EXEC, EXIT * 4)
    elf.symbol("a", FUNC | GLOBAL, code, 0, 16)
    elf.symbol("b", FUNC | GLOBAL, code, 8, 16)
    return elf.build()


def struct_ops_twice() -> bytes:
    made, elf = Types(), Elf()
    made.add(lambda n: t.Datasec(n, ".struct_ops", 0, ()))
    for _ in range(2):
        elf.section(".struct_ops", PROGBITS, ALLOC, bytes(8))
    return with_types(elf, made)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (hostile.sections_that_overlap(100), "its sections overlap"),
        (hostile.empty_data(3), "data sections may have 67108864 together"),
        (hostile.large_options(1), r"\.kconfig takes more than"),
        (hostile.map_definitions(70), "has 70 members, expected up to 64"),
        (hostile.symbols_with_long_names(100), "share too much"),
        (hostile.nested_unions(30), "values in 1 bytes"),
        (variables((0, 4), (2, 4)), "variable `v1` at 2 overlaps the one before it"),
        (variables((12, 8)), "do not fit in `.data`"),
        (section_listed_twice(), "section `.data` is listed twice"),
        (section_of_a_terabyte(), "has 1099511627776 bytes"),
        (functions_that_overlap(), "function `b` at 8 overlaps"),
        (struct_ops_twice(), "two sections are called `.struct_ops`"),
    ],
)
def test_read_what_no_compiler_makes_is_refused(data, message):
    """Each says what is wrong."""
    with pytest.raises(ObjectError, match=message):
        pybpfload.read_object(data)


def test_variables_side_by_side_are_read():
    """What touches does not overlap."""
    assert len(pybpfload.read_object(variables((0, 4), (4, 4), (12, 4))).variables) == 3


def test_link_address_in_the_last_slot_is_refused():
    """The second half of a 64-bit load would lie in the next function."""
    elf = Elf()
    load = struct.pack("<BBhi", 0x18, 0x41, 0, -2)
    elf.symbol("p", FUNC | GLOBAL, elf.section("xdp", PROGBITS, ALLOC | EXEC, EXIT + load), 0, 16)
    with pytest.raises(RelocationError, match="insn 1: a 64-bit load is cut off"):
        pybpfload.read_object(elf.build()).relocate()


def test_relocate_programs_that_are_too_much_together_is_refused(monkeypatch):
    """Each program gets a copy of what it calls: many small ones can take any amount of memory."""
    monkeypatch.setattr("pybpfload.objectspec.MAX_TOTAL", 100)
    with pytest.raises(RelocationError, match="more than 100 slots together"):
        pybpfload.read_object(hostile.programs_that_share(20)).relocate()


@pytest.mark.parametrize(
    "shape", [hostile.member_in_nameless_structs, hostile.matching_structs, hostile.compatible_functions]
)
def test_relocate_types_that_take_too_long_is_refused(shape, monkeypatch):
    """The search ends, and the program is named."""
    monkeypatch.setattr(match, "MAX_WORK", 20_000)
    spec = pybpfload.read_object(shape(15))
    with pytest.raises(CoreError, match=r"program `p`: .*takes too long"):
        spec.relocate(spec.types())


def test_relocate_resolves_as_much_as_real_objects_need():
    """The limit is far from what any tool asks for."""
    spec = pybpfload.read_object(hostile.enumerators(1000))
    relocations = spec.relocate(spec.types()).relocations
    assert len(relocations) == 1000
    assert {(r.resolution.relo.kind, r.resolution.target.number) for r in relocations} == {(CoreKind.ENUMVAL_EXISTS, 1)}


def test_read_relocation_of_a_gap_is_left_alone():
    """Code outside all functions belongs to functions that were replaced: nothing refers to it."""
    elf = Elf()
    code = elf.section("xdp", PROGBITS, ALLOC | EXEC, EXIT * 3)
    elf.symbol("a", FUNC | GLOBAL, code, 0, 8)
    elf.section(".relxdp", REL, 0, elf.relocation(16, 99), info=code)
    assert list(pybpfload.read_object(elf.build()).programs) == ["a"]
