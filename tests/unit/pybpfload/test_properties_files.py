"""What holds for all ELF files and .BTF.ext sections: what was written is read, in either byte order."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pybpfload.btf import Btf
from pybpfload.btf.encode import encode
from pybpfload.btf.ext import BtfExt, CoreKind, CoreRelo, FuncInfo, LineInfo, Records
from pybpfload.elf import ElfFile
from tests.support.elfmaker import NOBITS, PROGBITS, REL, Elf, ext, infos
from tests.support.strategies import IDENTIFIERS
from tests.unit.pybpfload.test_btf_blob import one_int, swapped

U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
ORDERS = st.sampled_from(["<", ">"])
FILE_NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
OFFSETS = st.integers(0, 100)

quick = settings(max_examples=60, deadline=None)


@quick
@given(
    ORDERS,
    st.lists(st.tuples(FILE_NAMES, st.sampled_from([PROGBITS, NOBITS]), U64, st.binary(max_size=40), U32, U32)),
    st.lists(st.tuples(FILE_NAMES, st.integers(0, 255), st.integers(0, 0xFFFF), U64, U64)),
)
def test_elf_sections_and_symbols_are_those_that_were_written(order, sections, symbols):
    """Names, numbers and contents, whatever they are."""
    assume(not {".symtab", ".strtab", ".shstrtab"} & {s[0] for s in sections})
    made = Elf(order)
    for name, kind, flags, body, link, info in sections:
        made.section(name, kind, flags, len(body) if kind == NOBITS else body, link=link, info=info)
    for symbol in symbols:
        made.symbol(*symbol)
    elf = ElfFile(made.build(), "file")
    assert (elf.big_endian, elf.machine, elf.type) == (order == ">", 247, 1)
    found = elf.sections[1 : 1 + len(sections)]
    assert [(s.name, s.type, s.flags, s.size, s.link, s.info) for s in found] == [
        (name, kind, flags, len(body), link, info) for name, kind, flags, body, link, info in sections
    ]
    assert [elf.data(s) for s in found] == [b"" if kind == NOBITS else body for _, kind, _, body, _, _ in sections]
    read = elf.symbols(elf.section(".symtab"))[1:]
    assert [(s.name, s.bind << 4 | s.type, s.section, s.value, s.size) for s in read] == symbols


@quick
@given(ORDERS, st.lists(st.tuples(U64, U32, U32)))
def test_elf_relocations_are_those_that_were_written(order, relocs):
    """Offset, symbol and type."""
    made = Elf(order)
    made.section(".rel", REL, 0, b"".join(made.relocation(*x) for x in relocs))
    elf = ElfFile(made.build(), "file")
    found = elf.relocations(elf.sections[1])
    assert [(r.offset, r.symbol, r.type, r.addend) for r in found] == [(*x, None) for x in relocs]


@quick
@given(
    ORDERS,
    st.sampled_from([0, 4, 8]),
    st.dictionaries(
        IDENTIFIERS,
        st.tuples(
            st.lists(st.builds(FuncInfo, U32, U32), max_size=4),
            st.lists(st.builds(LineInfo, U32, U32, U32, U32), max_size=4),
            st.lists(
                st.builds(CoreRelo, U32, U32, st.sampled_from(["0", "0:1", "x"]), st.sampled_from(CoreKind)), max_size=4
            ),
        ),
        max_size=4,
    ),
)
def test_ext_records_are_those_that_were_written(order, spare, sections):
    """Each section has its records, in their order; longer ones of the future are read as far as they are known."""
    strings = bytearray(b"\0")
    offsets = {}
    for text in [*sections, "0", "0:1", "x"]:
        offsets.setdefault(text, len(strings))
        strings += text.encode() + b"\0"
    blob = encode(one_int().all, strings=bytes(strings))
    btf = Btf(blob)
    if btf.big_endian != (order == ">"):
        btf = Btf(swapped(blob))

    def part(form, index, fields):
        rows = [(offsets[name], [fields(x) for x in parts[index]]) for name, parts in sections.items() if parts[index]]
        return infos(form, rows, order, spare) if rows else b""

    funcs, lines = part("2I", 0, tuple), part("4I", 1, tuple)
    core = part("4I", 2, lambda r: (r.offset, r.type_id, offsets[r.access], r.kind))
    found = BtfExt(ext(core, lines, funcs, order), btf)
    assert found.funcs == {name: parts[0] for name, parts in sections.items() if parts[0]}
    assert found.lines == {name: parts[1] for name, parts in sections.items() if parts[1]}
    assert found.core == {name: parts[2] for name, parts in sections.items() if parts[2]}


@quick
@given(st.lists(OFFSETS), OFFSETS, OFFSETS)
def test_records_between_and_before_are_those_that_a_walk_finds(offsets, start, end):
    """The index finds what looking at every record finds, also where they are in no order."""
    records: Records[FuncInfo] = Records()
    for number, offset in enumerate(offsets):
        records.append(FuncInfo(offset, number))
    assert records.between(start, end) == [r for r in records if start <= r.offset < end]
    earlier = [r for r in records if r.offset <= start]
    assert records.before(start) == max(earlier, key=lambda r: (r.offset, r.type_id), default=None)
