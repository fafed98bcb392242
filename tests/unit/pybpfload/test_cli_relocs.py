"""`relocs`: every CO-RE relocation, by itself and against types that the tests make."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pybpfload.btf import Btf
from pybpfload.btf.ext import CoreKind
from pybpfload.cli import relocs
from pybpfload.errors import UnsupportedError
from pybpfload.targets import read_btf
from tests.support.commands import Result, run
from tests.support.gates import require_tool
from tests.support.objects import DATA, path_of, read
from tests.support.types import Types

OBJECTS = sorted(p.name.split(".")[0] for p in DATA.glob("*.bpf.o"))


def kernel(folder: Path, *, twin: str = "") -> Path:
    """Types that changed: `tree` grew, lost `gone`, has `leaf.x` wider; `RED` is another number.

    The twin of `tree` differs from it in the place of one member.
    """
    made = Types()
    u16, u32, u64 = made.int("u16", 2, signed=False), made.int("u32", 4, signed=False), made.int("u64", 8, signed=False)
    leaf = made.struct("leaf", 24, ("before", u64, 0), ("x", u64, 8), ("y", u16, 20))
    members = [
        ("first", u64, 0, 0), ("leaf", leaf, 64, 0), ("row", made.array(leaf, 4), 1024, 0), ("hidden", u32, 4096, 0),
        ("narrow", made.int(), 3001, 7),
    ]  # fmt: skip
    made.struct("tree", 1000, *members)
    if twin:
        made.struct("tree___twin", 1000, *((n, i, at + 512 if n == twin else at, bits) for n, i, at, bits in members))
    made.enum("color", ("GREEN", 2), ("RED", 33))
    path = folder / "kernel.btf"
    path.write_bytes(made.blob())
    return path


def against(capsys, folder: Path, *arguments: object, twin: str = "") -> Result:
    """core.bpf.o on that kernel."""
    return run(capsys, "relocs", path_of("core"), "--btf", kernel(folder, twin=twin), *arguments)


def by_program(result: Result) -> dict[str, list[dict[str, object]]]:
    """The relocations of a JSON document."""
    return {p["name"]: p["relocations"] for p in result.document["programs"]}


def test_relocs_text_shows_what_became_of_each(capsys, tmp_path):
    """Source line, instruction, kind in words, access, both values, matched type."""
    result = against(capsys, tmp_path)
    assert result.code == 0
    at = result.lines.index("offset  raw_tp/offset, 1 relocation")
    assert re.fullmatch(
        r"  core\.bpf\.c:\d+  return __builtin_preserve_field_info\(tree->leaf\.y, .*", result.lines[at + 1]
    )
    assert result.lines[at + 2].split() == ["0", "offset", "tree.leaf.y", "12", "->", "28", "tree", "[7]"]
    words = [line.split() for line in result.lines]
    assert ["0", "exists", "tree.gone", "yes", "->", "no", "not", "found"] in words
    assert ["1", "exists", "tree.first", "yes", "=", "yes", "tree", "[7]"] in words
    assert ["0", "offset", "tree.gone", "72", "->", "POISONED", "not", "found"] in words
    assert ["1", "type", "size", "tree", "80", "->", "1000", "tree", "[7]"] in words
    assert ["0", "value", "color::GREEN", "2", "=", "2", "color", "[8]"] in words
    assert ["1", "offset", "tree.leaf.x", "8", "->", "16", "tree", "[7],", "4", "->", "8", "bytes"] in words


def test_relocs_text_ends_with_a_summary(capsys, tmp_path):
    """Its numbers are those of the document, and add up."""
    summary = against(capsys, tmp_path, "--json").document["summary"]
    states = {state: summary[state] for state in ("adjusted", "unchanged", "missing", "poisoned")}
    assert sum(states.values()) == summary["relocations"] == 24
    assert (summary["undecided"], summary["failed"], summary["failed_programs"], summary["programs"]) == (0, 0, 0, 14)
    assert all(states.values())
    expected = f"24 relocations in 14 programs: {', '.join(f'{n} {state}' for state, n in states.items())}"
    assert against(capsys, tmp_path).lines[-1] == expected


def test_relocs_columns_stand_below_each_other(capsys, tmp_path):
    """In all programs."""
    lines = [line for line in against(capsys, tmp_path).lines if re.match(r" +\d+  \w", line)]
    assert len(lines) == 24
    signs = {re.search(r" (->|=) ", line).end() for line in lines}
    assert len(signs) == 1


def test_relocs_long_section_is_shortened(capsys, monkeypatch):
    """The heading of a program keeps its name."""
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(capsys, "relocs", path_of("relos"), "--local", "--program", "type_nameless_matches").lines
    assert "type_nameless_matches  raw_tp/typ...ss_matches, 1 relocation" in lines


@pytest.mark.parametrize("columns", ["60", "80"])
def test_relocs_narrow_terminal_shortens_paths(columns, capsys, monkeypatch, tmp_path):
    """The middle of an access gives way; the numbers stay."""
    source = tmp_path / "long.c"
    source.write_text(
        "struct one_very_long_name_of_a_struct { struct { struct { int a_very_long_member; } another_long_member; }\n"
        "first_long_member; } __attribute__((preserve_access_index));\n"
        '__attribute__((section("raw_tp/x"))) int f(struct one_very_long_name_of_a_struct *s)\n'
        "{ return s->first_long_member.another_long_member.a_very_long_member; }\n"
    )
    made = tmp_path / "long.o"
    command = [require_tool("clang-19"), "-target", "bpf", "-g", "-O2", "-c", str(source), "-o", str(made)]
    subprocess.run(command, check=True, timeout=60)
    monkeypatch.setenv("COLUMNS", columns)
    (line,) = [x for x in run(capsys, "relocs", made, "--btf", made).lines if "offset" in x]
    assert len(line) <= int(columns)
    assert re.search(r"one_v\S*\.\.\.\S*mber +0 += +0  ", line)
    monkeypatch.setenv("COLUMNS", "200")
    (line,) = [x for x in run(capsys, "relocs", made, "--btf", made).lines if "offset" in x]
    assert "one_very_long_name_of_a_struct.first_long_member.another_long_member.a_very_long_member" in line
    assert "one_very_long_name_of_a_struct [" in line


def test_relocs_document_of_a_relocation(capsys, tmp_path):
    """Every member of the record."""
    target = kernel(tmp_path)
    found = by_program(against(capsys, tmp_path, "--json"))
    (offset,) = found["offset"]
    assert offset.pop("source").startswith("return __builtin_preserve_field_info(tree->leaf.y")
    assert isinstance(offset.pop("line"), int)
    assert offset == {
        "function": "offset", "insn": 0, "kind": "field_byte_offset", "type": "struct", "access": "tree.leaf.y",
        "local": 12, "local_size": 2, "target": 28, "target_size": 2, "state": "adjusted",
        "error": None, "matched": {"btf": str(target), "id": 7, "kind": "struct", "name": "tree"}, "file": "core.bpf.c",
    }  # fmt: skip
    (poison,) = found["poison"]
    assert (poison["target"], poison["target_size"], poison["state"], poison["matched"]) == (
        None,
        None,
        "poisoned",
        None,
    )
    assert found["exists"][0]["target"] == 0
    assert found["exists"][0]["state"] == "missing"
    assert (found["load"][0]["local_size"], found["load"][0]["target_size"]) == (4, 8)


def test_relocs_ambiguous_relocation_fails_beside_the_others(capsys, tmp_path):
    """It is marked, its error stands below it and on stderr, all others are decided; exit code 1."""
    result = against(capsys, tmp_path, twin="leaf")
    assert result.code == 1
    at = result.lines.index("offset  raw_tp/offset, 1 relocation")
    assert result.lines[at + 2].split() == ["0", "offset", "tree.leaf.y", "12", "->", "FAILED"]
    assert re.fullmatch(r" {10}error: struct tree\.leaf\.y: .* is ambiguous: 28 in .*, 92 in .*", result.lines[at + 3])
    assert ["0", "offset", "tree.row[2].x", "32", "->", "184"] in [line.split()[:6] for line in result.lines]
    errors = result.err.splitlines()
    assert errors[0].startswith(
        f"pybpfload: {path_of('core')}: program `offset`: function `offset`: insn 0 (core.bpf.c:"
    )
    assert result.lines[-1].endswith(f"; {len(errors)} programs cannot be loaded")
    assert len(errors) > 1
    document = against(capsys, tmp_path, "--json", twin="leaf")
    assert document.code == 1
    failed = {p["name"] for p in document.document["programs"] if p["error"]}
    assert "offset" in failed
    assert "element" not in failed
    (offset,) = by_program(document)["offset"]
    assert (offset["state"], offset["target"]) == ("failed", None)
    assert "is ambiguous: 28 in" in offset["error"]
    assert document.document["summary"]["failed_programs"] == len(failed) == len(errors)
    assert document.document["summary"]["undecided"] == 0


def test_relocs_of_a_program_that_cannot_be_linked_are_decided_all_the_same(capsys, tmp_path):
    """One relocation at fault does not hide the others of its program: `exists` has two."""
    found = by_program(against(capsys, tmp_path, "--json", twin="first"))["exists"]
    assert [(r["access"], r["state"]) for r in found] == [("tree.gone", "missing"), ("tree.first", "failed")]


def test_relocs_local_shows_the_object_by_itself(capsys):
    """No target, no signs; states are undecided."""
    result = run(capsys, "relocs", path_of("core"), "--local")
    assert result.code == 0
    assert "by itself" in result.lines[0]
    assert ["0", "offset", "tree.leaf.y", "12"] in [line.split() for line in result.lines]
    assert result.lines[-1] == "24 relocations in 14 programs"
    document = run(capsys, "relocs", path_of("core"), "--local", "--json").document
    assert document["against"] is None
    assert document["summary"]["undecided"] == 24
    assert {r["target"] for p in document["programs"] for r in p["relocations"]} == {None}


def test_relocs_without_kernel_btf_falls_back_to_the_local_view(capsys, monkeypatch):
    """A host that shows no BTF can still be used to look at objects."""

    def none() -> None:
        raise UnsupportedError("BTF")

    monkeypatch.setattr(relocs, "kernel_types", none)
    assert run(capsys, "relocs", path_of("core")).out == run(capsys, "relocs", path_of("core"), "--local").out


def test_relocs_program_shows_just_that(capsys, tmp_path):
    """--program; an unknown one gets the closest name."""
    assert list(by_program(against(capsys, tmp_path, "--json", "--program", "exists"))) == ["exists"]
    result = against(capsys, tmp_path, "--program", "exist")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"pybpfload: {path_of('core')}: no program `exist`; closest is `exists`\n"


def test_relocs_of_subprograms_say_where_they_are(capsys):
    """Instructions count from the program's first; the function that holds them is named."""
    found = by_program(run(capsys, "relocs", path_of("relos"), "--local", "--json"))
    functions = [r["function"] for r in found["calls_again"]]
    assert functions == ["calls_again", "calls_again", "helper"] or set(functions) == {"calls_again", "helper"}
    helper = [r["insn"] for r in found["calls_again"] if r["function"] == "helper"]
    own = read("relos").programs["calls_again"].function
    assert min(helper) >= len(read("relos").functions[own].code) // 8
    lines = run(capsys, "relocs", path_of("relos"), "--local", "--program", "calls_again").lines
    assert "  in helper()" in lines


def test_relocs_without_relocations_says_so(capsys):
    """A summary of nothing, no empty tables."""
    result = run(capsys, "relocs", path_of("maps"), "--local")
    assert result.lines[-1] == "0 relocations in 1 program"
    assert len(result.lines) == 3


def test_words_name_every_kind():
    """Thirteen kinds, each with words of its own."""
    assert set(relocs.WORDS) == set(CoreKind)
    assert len(set(relocs.WORDS.values())) == 13


@pytest.mark.parametrize("name", OBJECTS)
def test_spec_relocations_are_those_that_get_decided(name):
    """The property names the same, in the same order, with no target."""
    spec = read(name)
    before = spec.relocations
    assert [r.resolution.target for r in before] == [None] * len(before)
    assert not any(r.poisoned for r in before)
    after = spec.relocate(Types().btf()).relocations
    facts = [(r.program, r.function, r.slot, r.line, r.resolution.relo, r.resolution.local_access) for r in before]
    assert facts == [
        (r.program, r.function, r.slot, r.line, r.resolution.relo, r.resolution.local_access) for r in after
    ]
    assert [r.resolution.local for r in before] == [r.resolution.local for r in after]


def test_relocs_accesses_are_those_that_objdump_shows(capsys):
    """llvm-objdump writes type id and path of each relocation below its instruction."""
    btf = read_btf(path_of("core"))
    command = [require_tool("llvm-objdump-19"), "-d", "-r", "--no-show-raw-insn", str(path_of("core"))]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = re.findall(r"CO-RE <\w+> \[(\d+)\] (struct|enum) (\S+)", listed)
    ours = [
        r
        for relocations in by_program(run(capsys, "relocs", path_of("core"), "--local", "--json")).values()
        for r in relocations
    ]
    named = [(r["type"], re.split(r"[.:\[]", r["access"])[0]) for r in ours]
    theirs = [(kind, re.split(r"[.:\[]", access.rstrip(","))[0]) for _, kind, access in expected]
    assert sorted(theirs) == sorted((("enum" if k == "enum64" else k), n) for k, n in named)
    assert {btf.type(int(i)).name for i, _, _ in expected} == {n for _, n in named}


@pytest.mark.kernel
def test_relocs_against_the_running_kernel(capsys):
    """By default; offsets are those of the kernel's BTF."""
    result = run(capsys, "relocs", path_of("rejected"))
    assert result.lines[0] == f"{path_of('rejected')}, against vmlinux {os.uname().release}"
    assert "POISONED  not found" in result.out
    assert result.code == 0


@pytest.mark.kernel
def test_relocs_of_our_own_probes_are_never_poisoned_here(capsys):
    """Each field that the tracer reads exists on this kernel."""
    for path in sorted((Path(__file__).parents[3] / "bpf" / "objects" / os.uname().machine).glob("*.bpf.o")):
        summary = run(capsys, "relocs", path, "--json").document["summary"]
        assert summary["relocations"] > 0
        assert (summary["poisoned"], summary["failed"]) == (0, 0)


def test_targets_are_read_from_elf_and_raw_files(capsys, tmp_path):
    """--btf takes what read_btf() takes."""
    raw = tmp_path / "raw"
    raw.write_bytes(Types().blob())
    assert isinstance(read_btf(raw), Btf)
    assert run(capsys, "relocs", path_of("core"), "--btf", raw).code == 0
    assert run(capsys, "relocs", path_of("core"), "--btf", path_of("core")).lines[-1].startswith("24 relocations")
    assert run(capsys, "relocs", path_of("core"), "--btf", tmp_path / "none").code == 1
