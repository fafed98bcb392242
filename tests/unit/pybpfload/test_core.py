"""CO-RE: the thirteen kinds, against types that the tests make."""

from __future__ import annotations

import pytest

from pybpfload import insn
from pybpfload.btf import Btf, Kind
from pybpfload.btf.ext import CoreKind
from pybpfload.errors import CoreError
from pybpfload.linker import LinkedProgram, link
from tests.support.objects import read
from tests.support.types import Types


def target(**changes: object) -> Btf:
    """A kernel whose `struct tree` differs from the object's in every member; `changes` say how else."""
    made = Types()
    u16, u32, u64 = made.int("u16", 2, signed=False), made.int("u32", 4, signed=False), made.int("u64", 8, signed=False)
    i32 = made.int("int")
    x = made.int("long long", 8) if changes.get("signed_x") else {2: u16, 4: u32, 8: u64}[changes.get("x_size", 4)]
    leaf = made.struct("leaf", 24, ("before", u64, 0), ("x", x, 8), ("y", u16, 20))
    inner = made.struct("", 8, ("unrelated", u32, 0), ("hidden", u32, 4))
    members = [
        ("first", u64, 512, 0),
        ("leaf", leaf, 64, 0),
        ("row", made.array(leaf, changes.get("row", 4)), 1024, 0),
        ("", inner, 2048, 0),
        ("flag", u32, 3000, 1),
        ("narrow", i32, 3001, 7),
        ("pointer", made.ptr(), 3072, 0),
        ("former", u32, 4096, 0),
    ]
    if changes.get("gone"):
        members.append(("gone", i32, 5120, 0))
    made.struct("tree", 1000, *members)
    if changes.get("second_tree"):
        made.struct("tree___twin", 8, ("leaf", leaf, 0))
    made.enum("color", ("BLUE", 0), ("GREEN", 22), ("RED", 33))
    made.enum("big", ("LARGE", 0xFEDCBA9876543210), size=8)
    return made.btf()


def linked(program: str, against: Btf | None = None) -> LinkedProgram:
    """A program of core.bpf.c, relocated."""
    spec = read("core")
    return link(spec, spec.programs[program], [against or target()])


def values(program: LinkedProgram) -> list[tuple[CoreKind, int]]:
    """Kind and value of each relocation, in order."""
    return [(r.resolution.relo.kind, r.resolution.target.number) for r in program.relocations]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("offset", [(CoreKind.FIELD_BYTE_OFFSET, 8 + 20)]),
        ("element", [(CoreKind.FIELD_BYTE_OFFSET, 128 + 2 * 24 + 8)]),
        ("anonymous", [(CoreKind.FIELD_BYTE_OFFSET, 256 + 4)]),
        ("size", [(CoreKind.FIELD_BYTE_SIZE, 4)]),
        ("exists", [(CoreKind.FIELD_EXISTS, 0), (CoreKind.FIELD_EXISTS, 1)]),
        ("sign", [(CoreKind.FIELD_SIGNED, 1)]),
        ("flavour", [(CoreKind.FIELD_BYTE_OFFSET, 512)]),
        ("types", [(CoreKind.TYPE_EXISTS, 1), (CoreKind.TYPE_SIZE, 1000), (CoreKind.TYPE_MATCHES, 0)]),
        ("enums", [(CoreKind.ENUMVAL_VALUE, 22), (CoreKind.ENUMVAL_EXISTS, 1)]),
        ("enum64", [(CoreKind.ENUMVAL_VALUE, 0xFEDCBA9876543210)]),
    ],
)
def test_resolve_against_changed_types_gives_their_values(program, expected):
    """Each kind finds its value in types whose members moved."""
    assert sorted(values(linked(program))) == sorted(expected)


@pytest.mark.parametrize("program", ["offset", "element", "anonymous", "size", "flavour", "enums", "exists", "sign"])
def test_patch_immediate_holds_the_value(program):
    """The instruction at a relocation's slot has the new number in it."""
    result = linked(program)
    assert result.relocations
    for relo in result.relocations:
        assert insn.read(result.code, relo.slot).imm == relo.resolution.target.number


def test_patch_enum64_fills_both_halves():
    """A 64-bit load takes the low half in its first slot and the high half in its second."""
    result = linked("enum64")
    (relo,) = result.relocations
    low, high = insn.read(result.code, relo.slot), insn.read(result.code, relo.slot + 1)
    assert (low.imm & 0xFFFFFFFF) | (high.imm & 0xFFFFFFFF) << 32 == 0xFEDCBA9876543210


def test_resolve_type_ids_local_and_target():
    """TYPE_ID_LOCAL is the object's own id, TYPE_ID_TARGET the target's."""
    spec = read("core")
    against = target()
    found = dict(values(link(spec, spec.programs["type_ids"], [against])))
    assert found[CoreKind.TYPE_ID_LOCAL] == spec.btf.find("leaf", Kind.STRUCT).id
    assert found[CoreKind.TYPE_ID_TARGET] == against.find("leaf", Kind.STRUCT).id


def test_resolve_bitfield_reads_its_place():
    """Offset, size and both shifts of a signed bitfield that moved: bits 3001..3007 of the struct."""
    found = dict(values(linked("bitfield")))
    assert found[CoreKind.FIELD_BYTE_OFFSET] == 3000 // 32 * 4
    assert found[CoreKind.FIELD_BYTE_SIZE] == 4
    assert found[CoreKind.FIELD_LSHIFT_U64] == 64 - (3001 + 7 - 2976)
    assert found[CoreKind.FIELD_RSHIFT_U64] == 64 - 7
    assert found[CoreKind.FIELD_SIGNED] == 1


def test_resolve_missing_member_poisons():
    """What does not exist becomes a call that no verifier accepts, and says so."""
    result = linked("poison")
    (relo,) = result.relocations
    assert relo.poisoned
    assert insn.read(result.code, relo.slot) == (0x85, 0, 0, 0, 0xBAD2310)
    assert relo.resolution.local_access == "struct tree.gone"
    assert "gone" in relo.line


@pytest.mark.parametrize(("size", "width"), [(2, 2), (4, 4), (8, 8)])
def test_patch_load_follows_the_size_of_an_unsigned_field(size, width):
    """u32 became u16 or u64: the load becomes as wide."""
    result = linked("load", target(x_size=size))
    (relo,) = result.relocations
    op = insn.read(result.code, relo.slot)
    assert insn.SIZE_OF[op.code & 0x18] == width
    assert op.off == 8 + 8


def test_patch_load_of_a_field_that_became_signed_and_wider_poisons():
    """Widening a signed integer would need its sign: refused."""
    (relo,) = linked("load", target(signed_x=True)).relocations
    assert relo.poisoned


def test_resolve_two_candidates_that_disagree_is_ambiguous():
    """`tree` and `tree___twin` both have `leaf`, at different offsets."""
    with pytest.raises(CoreError, match=r"program `offset`.*ambiguous: 28 in target \[\d+\], 20 in target"):
        linked("offset", target(second_tree=True))


def test_resolve_two_candidates_at_one_place_but_of_two_sizes_is_ambiguous():
    """The same offset is not enough: the value asked for has to be the same."""
    made = Types()
    for name, number in (("tree", made.int("u32", 4)), ("tree___twin", made.int("u64", 8))):
        leaf = made.struct("leaf", 8, ("x", number, 0))
        made.struct(name, 8, ("leaf", leaf, 0))
    with pytest.raises(CoreError, match=r"FIELD_BYTE_SIZE is ambiguous: 4 in .*, 8 in"):
        linked("size", made.btf())


def test_resolve_candidate_without_the_member_drops_out():
    """Only candidates that have the access count."""
    assert values(linked("element", target(second_tree=True)))[0][1] == 128 + 2 * 24 + 8


def test_resolve_element_beyond_a_shorter_array_is_missing():
    """row[2] of an array that became shorter than three does not exist."""
    (relo,) = linked("element", target(row=2)).relocations
    assert relo.poisoned


def test_resolve_exists_after_the_member_came_back():
    """The same object on a kernel that has the member."""
    assert values(linked("exists", target(gone=True))).count((CoreKind.FIELD_EXISTS, 1)) == 2


def test_relocation_names_its_source_line():
    """Errors and reports show where in the C source an access stands."""
    (relo,) = linked("offset").relocations
    assert relo.line.startswith("core.bpf.c:")
    assert "tree->leaf.y" in relo.line


def test_relocations_of_a_spec_need_no_target():
    """What an object asks of any kernel can be listed before there is one: the local side only."""
    spec = read("core")
    listed = {(r.program, r.slot): r.resolution for r in spec.relocations}
    relocated = {(r.program, r.slot): r.resolution for r in spec.relocate(target()).relocations}
    assert listed.keys() == relocated.keys()
    assert all(r.target is None and r.local == relocated[key].local for key, r in listed.items())
