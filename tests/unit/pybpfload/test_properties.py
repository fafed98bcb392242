"""What holds for all types, structs and instructions, whatever they are."""

from __future__ import annotations

import struct

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pybpfload import insn
from pybpfload.btf import Btf, Kind, essential_name
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.btf.ext import BtfExt, CoreKind
from pybpfload.btf.layout import layout_of
from pybpfload.core import Resolver
from pybpfload.core.compute import Resolution
from pybpfload.insn import Insn
from pybpfload.linker import link
from pybpfload.sanitise import RULES, kernel_view
from pybpfload.sections import Flag
from pybpfload.spec import Function, ObjectParts, ProgramSpec
from pybpfload.uapi import ProgType
from tests.support.strategies import IDENTIFIERS, NAMES, Structs, any_types, paths, structs
from tests.unit.pybpfload.test_btf_blob import swapped

FIELD_KINDS = (
    CoreKind.FIELD_BYTE_OFFSET, CoreKind.FIELD_BYTE_SIZE, CoreKind.FIELD_EXISTS, CoreKind.FIELD_SIGNED,
    CoreKind.FIELD_LSHIFT_U64, CoreKind.FIELD_RSHIFT_U64,
)  # fmt: skip
TYPE_KINDS = (
    CoreKind.TYPE_ID_LOCAL, CoreKind.TYPE_ID_TARGET, CoreKind.TYPE_EXISTS, CoreKind.TYPE_SIZE, CoreKind.TYPE_MATCHES,
)  # fmt: skip
INSNS = st.builds(
    Insn, st.integers(0, 255), st.integers(0, 15), st.integers(0, 15),
    st.integers(-(1 << 15), (1 << 15) - 1), st.integers(-(1 << 31), (1 << 31) - 1),
)  # fmt: skip

quick = settings(max_examples=60, deadline=None)


@quick
@given(any_types())
def test_encode_then_read_is_the_identity(types):
    """Whatever types say, and however little sense it makes, it comes back; in the other byte order, too."""
    blob = encode(types)
    assert list(Btf(blob)) == types
    assert list(Btf(swapped(blob))) == types


@quick
@given(any_types(), st.lists(NAMES, max_size=6).map(lambda texts: "\0".join(["", *texts, ""]).encode()))
def test_encode_keeps_strings_in_place(types, strings):
    """What line info refers to stays where it is, and types share it."""
    btf = Btf(encode(types, strings=strings))
    assert btf.string_section.startswith(strings)
    assert list(btf) == types


@quick
@given(any_types(), st.booleans())
def test_ids_of_a_name_are_all_of_it(types, thorough):
    """Searching bytes and searching a dictionary find what looking at every type finds."""
    btf = Btf(encode(types))
    if thorough:
        btf._searches = 1 << 30  # more than any scanning is worth
    for name in {x.name for x in types if x.name}:
        assert btf.ids(name) == [x.id for x in types if x.name == name]
        flavours = [x.id for x in types if x.name == name or essential_name(x.name) == name]
        assert btf.essential_ids(name) == flavours


def essential_by_definition(name: str) -> str:
    """The rule of libbpf, letter by letter: the last ``___`` between two other characters."""
    for i in range(len(name) - 5, -1, -1):
        if name[i] != "_" and name[i + 1 : i + 4] == "___" and name[i + 4] != "_":
            return name[: i + 1]
    return name


@settings(max_examples=500, deadline=None)
@given(st.text("ab_\n", max_size=14))
def test_essential_name_is_what_the_rule_says(name):
    """The fast way and the rule agree."""
    assert essential_name(name) == essential_by_definition(name)


@quick
@given(IDENTIFIERS, IDENTIFIERS)
def test_essential_name_of_a_flavour_is_the_name(name, flavour):
    """Any name can have any flavour."""
    assert essential_name(f"{name}___{flavour}") == name
    assert essential_name(name) == name


@quick
@given(st.data(), structs())
def test_values_packed_and_unpacked_are_the_same(data, shape: Structs):
    """What fits a struct survives being written and read; so do the bytes."""
    layout = layout_of(shape.made.btf(), shape.root.type_id)
    values = data.draw(shape.root.values)
    raw = layout.pack_value(values)
    assert layout.size == len(raw) == shape.root.size
    assert layout.unpack(raw, 0, len(raw)) == values
    assert layout.pack_value(layout.decode(raw)) == raw


@quick
@given(st.data(), structs())
def test_big_endian_values_are_the_same(data, shape: Structs):
    """The byte order of BTF is that of the values."""
    layout = layout_of(Btf(swapped(shape.made.blob())), shape.root.type_id)
    assume(not any(m.bitfield_size for x in shape.made.all if isinstance(x, t.Composite) for m in x.members))
    values = data.draw(shape.root.values)
    assert layout.decode(layout.pack_value(values)) == values


@quick
@given(st.lists(INSNS, min_size=1, max_size=8))
def test_instructions_written_and_read_are_the_same(insns):
    """Writing is the inverse of reading, and touches nothing else."""
    code = bytearray(b"\xa5" * 8 * len(insns))
    for i, op in enumerate(insns):
        insn.write(code, i, op)
    assert [insn.read(code, i) for i in range(len(insns))] == insns


@quick
@given(st.lists(INSNS, min_size=1, max_size=8))
def test_swapped_instructions_are_those_of_the_other_order(insns):
    """Code of the other byte order says the same once it is swapped; swapped twice, it is as it was."""
    order, low_first = (">", False) if insn.LITTLE else ("<", True)
    foreign = b"".join(
        struct.pack(order + "BBhi", x.code, x.dst | x.src << 4 if low_first else x.dst << 4 | x.src, x.off, x.imm)
        for x in insns
    )
    code = insn.swap(foreign)
    assert [insn.read(code, i) for i in range(len(insns))] == insns
    assert insn.swap(code) == foreign


@quick
@given(any_types(), st.sets(st.sampled_from([row[0] for row in RULES])))
def test_view_for_a_kernel_keeps_ids_and_sizes(types, missing):
    """Whatever a kernel lacks, each type is replaced by one of the same id, and sizes stay."""
    spec = ObjectParts("test", "test")
    types = [x for x in types if not isinstance(x, t.Datasec) or x.name != ".ksyms"]
    types = [x._replace(id=i) for i, x in enumerate(types, 1)]
    assume(types)
    spec.btf = Btf(encode(types))
    view = list(Btf(kernel_view(spec, lambda name: name not in missing)))
    for before, after in zip(types, view):
        if isinstance(before, (t.Int, t.Composite, t.Enum, t.Float)):
            assert (after.id, after.size) == (before.id, before.size)
    assert len(view) >= len(types)
    known = {row[0]: row[1] for row in RULES}
    assert not [x for x in view for name in missing if name != "btf_func" and known[name](x)]


def resolve(shape: Structs, access: str, kind: CoreKind, type_id: int = 0) -> Resolution:
    """A relocation against the very types that it is made of."""
    btf = shape.made.btf()
    relo = _relo(btf, type_id or shape.root.type_id, access, kind)
    return Resolver(btf, [btf], big_endian=btf.big_endian).resolve(relo)


def _relo(btf: Btf, type_id: int, access: str, kind: CoreKind):
    strings = b"\0x\0" + access.encode() + b"\0"
    named = Btf(encode(list(btf), strings=strings))
    raw = struct.pack("=HBBI6I", 0xEB9F, 1, 0, 32, 0, 0, 0, 0, 0, 28) + struct.pack(
        "=7I", 16, 1, 1, 0, type_id, 3, kind
    )
    (relo,) = BtfExt(raw, named).core["x"]
    return relo


@quick
@given(st.data(), structs(), st.sampled_from(FIELD_KINDS))
def test_field_relocated_against_its_own_types_is_unchanged(data, shape: Structs, kind):
    """A member is found where it is, at any depth."""
    access, _ = data.draw(paths(shape.root))
    if kind not in (CoreKind.FIELD_BYTE_OFFSET, CoreKind.FIELD_BYTE_SIZE):
        access = access[:3]  # the others want a member
    found = resolve(shape, access, kind)
    assert (found.target, found.target_id, found.bad_resize) == (found.local, shape.root.type_id, False)


@quick
@given(structs(floats=False), st.sampled_from(TYPE_KINDS))
def test_type_relocated_against_its_own_types_is_unchanged(shape: Structs, kind):
    """A type exists, matches, and has its size and id."""
    found = resolve(shape, "0", kind)
    assert found.target == found.local
    assert found.target_id == shape.root.type_id


@quick
@given(st.data(), structs())
def test_code_linked_against_its_own_types_is_unchanged(data, shape: Structs):
    """Whole functions come out as they went in: each instruction holds the value that its relocation has here."""
    btf = shape.made.btf()
    resolver = Resolver(btf, (), big_endian=btf.big_endian)
    code, records, strings = bytearray(), [], bytearray(b"\0x\0")
    for _ in range(data.draw(st.integers(1, 5))):
        access, _ = data.draw(paths(shape.root))
        kind = data.draw(st.sampled_from([CoreKind.FIELD_BYTE_OFFSET, CoreKind.FIELD_BYTE_SIZE]))
        value = resolver.name(_relo(btf, shape.root.type_id, access, kind)).local.number
        records.append((len(code), shape.root.type_id, len(strings), kind))
        strings += access.encode() + b"\0"
        code += struct.pack("=BBhi", 0xB7, 0, 0, value)
    spec = ObjectParts("test", "test")
    spec.btf = Btf(encode(shape.made.all, strings=bytes(strings)))
    core = struct.pack("=3I", 16, 1, len(records)) + b"".join(struct.pack("=4I", *x) for x in records)
    spec.btf_ext = BtfExt(struct.pack("=HBBI6I", 0xEB9F, 1, 0, 32, 0, 0, 0, 0, 0, len(core)) + core, spec.btf)
    spec.functions["x", 0] = Function("f", "x", 0, bytes(code), {}, True)
    program = ProgramSpec("f", "x", ("x", 0), ProgType.KPROBE, 0, "", Flag.NONE, True)
    linked = link(spec, program, [spec.btf])
    assert linked.code == code
    assert len(linked.relocations) == len(records)


def test_strategies_make_every_kind():
    """Else the properties above would hold for less than they say."""
    kinds: set[Kind] = set()

    @settings(max_examples=300, deadline=None, database=None)
    @given(any_types())
    def collect(types):
        kinds.update(x.kind for x in types)

    collect()
    assert kinds == set(Kind) - {Kind.VOID}
