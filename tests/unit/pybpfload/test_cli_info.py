"""`info`: beside what readelf, objdump and bpftool say of the same objects."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from pybpfload.cli.info import describe
from pybpfload.uapi import MapFlag, MapType
from tests.support.commands import run
from tests.support.gates import require_tool
from tests.support.objects import DATA, path_of, read

OBJECTS = sorted(p.name.split(".")[0] for p in DATA.glob("*.bpf.o"))


def document(capsys, name: str):
    """The JSON document of an object."""
    return run(capsys, "info", path_of(name), "--json").document


def tool(*command: str) -> str:
    """What another program says."""
    return subprocess.run([require_tool(command[0]), *command[1:]], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", OBJECTS)
def test_info_programs_are_readelfs_functions(name, capsys):
    """Global functions outside .text, with their sections and sizes."""
    out = tool("readelf", "--wide", "--sections", "--symbols", str(path_of(name)))
    sections = dict(re.findall(r"^\s*\[ *(\d+)\] (\S+) ", out, re.MULTILINE))
    functions = re.findall(r"(\d+)\s+FUNC\s+GLOBAL\s+\S+\s+(\d+) (\S+)$", out, re.MULTILINE)
    expected = {n: (sections[i], int(size) // 8) for size, i, n in functions if sections[i] != ".text"}
    found = {
        p["name"]: (f"{'' if p['autoload'] else '?'}{p['section']}", p["instructions"])
        for p in document(capsys, name)["programs"]
        if not p["calls"]
    }
    assert found == {n: expected[n] for n in found}
    assert {p["name"] for p in document(capsys, name)["programs"]} == set(expected)


@pytest.mark.parametrize("name", OBJECTS)
def test_info_license_is_readelfs(name, capsys):
    """The string of section `license`."""
    out = tool("readelf", "--string-dump=license", str(path_of(name)))
    assert document(capsys, name)["license"] == re.search(r"\[ *0\]  (.*)", out)[1].strip()


@pytest.mark.parametrize("name", OBJECTS)
def test_info_core_relocations_are_as_many_as_objdump_lists(name, capsys):
    """Of programs that call nothing: llvm-objdump prints each below its instruction."""
    out = tool("llvm-objdump-19", "-d", "-r", "--no-show-raw-insn", str(path_of(name)))
    counts: dict[str, int] = {}
    current = ""
    for line in out.splitlines():
        if match := re.match(r"[0-9a-f]+ <(.+)>:", line):
            current = match[1]
        elif "CO-RE <" in line:
            counts[current] = counts.get(current, 0) + 1
    for program in document(capsys, name)["programs"]:
        if not program["calls"]:
            assert program["core_relocations"] == counts.get(program["name"], 0), program["name"]


@pytest.mark.parametrize("name", OBJECTS)
def test_info_maps_are_what_bpftool_reads_in_btf(name, capsys):
    """Type, entries, flags and types of keys, from the members of each definition."""
    types = {x["id"]: x for x in json.loads(tool("bpftool", "-j", "btf", "dump", "file", str(path_of(name))))["types"]}
    section = next((x for x in types.values() if x["kind"] == "DATASEC" and x["name"] == ".maps"), {"vars": []})
    maps = {m["name"]: m for m in document(capsys, name)["maps"]}
    for entry in section["vars"]:
        var = types[entry["type_id"]]
        members = {m["name"]: types[types[m["type_id"]]["type_id"]] for m in types[var["type_id"]]["members"]}
        found = maps[var["name"]]
        number = members["type"]["nr_elems"]
        assert found["type"] == (MapType(number).name if number in MapType._value2member_map_ else str(number))
        assert found["max_entries"] == members.get("max_entries", {"nr_elems": 0})["nr_elems"]
        flags = sum(MapFlag[flag] for flag in found["flags"])
        assert flags == members.get("map_flags", {"nr_elems": 0})["nr_elems"]
        for part in ("key", "value"):
            if part in members:
                assert found[f"{part}_type"].rpartition(" ")[2] == members[part]["name"]
    data = {m["name"] for m in maps.values() if m["data"]} - {"arena", ".kconfig"}
    listed = tool("readelf", "--wide", "--sections", str(path_of(name)))
    assert data == set(re.findall(r"\] (\.(?:data|rodata|bss)\S*) ", listed))


def test_info_document_of_a_program(capsys):
    """Section, types, what it calls, uses and needs."""
    programs = {p["name"]: p for p in document(capsys, "subprogs")["programs"]}
    assert programs["calls_all"] == {
        "name": "calls_all", "section": "raw_tp/sys_enter", "type": "RAW_TRACEPOINT", "attach_type": None,
        "target": "sys_enter", "autoload": True, "flags": [], "instructions": (96 + 80 + 32 + 56) // 8,
        "calls": ["add", "static_middle", "global_leaf"], "maps": [".bss"], "externs": [], "core_relocations": 0,
        "error": None,
    }  # fmt: skip
    (traced,) = document(capsys, "ring")["programs"]
    assert (traced["type"], traced["attach_type"]) == ("TRACING", "TRACE_RAW_TP")


def test_info_document_of_maps(capsys):
    """BTF types with their names, flags with theirs, pinning."""
    maps = {m["name"]: m for m in document(capsys, "maps")["maps"]}
    typed = maps["typed"]
    assert (typed["key_type"], typed["key_size"]) == ("struct key", 12)
    assert (typed["value_type"], typed["value_size"]) == ("struct value", 16)
    assert (typed["flags"], typed["pinning"]) == (["NO_PREALLOC"], None)
    assert (maps["raw"]["pinning"], maps["raw"]["key_type"], maps["raw"]["key_size"]) == ("by_name", None, 3)
    assert (maps[".rodata"]["data"], maps[".rodata"]["flags"]) == (True, ["RDONLY_PROG"])


def test_info_flags_without_a_name_are_numbers():
    """A flag of a newer kernel is shown as what it is."""
    spec = read("maps")
    spec.maps["typed"].flags |= 1 << 30 | 1 << 29
    maps = {m["name"]: m for m in describe(spec)["maps"]}
    assert maps["typed"]["flags"] == ["NO_PREALLOC", "0x60000000"]


def test_info_document_of_nested_maps(capsys):
    """What a map of maps holds, and with what it begins."""
    maps = {m["name"]: m for m in document(capsys, "nested")["maps"]}
    assert maps["outer"]["inner"]["type"] == "ARRAY"
    assert maps["outer"]["values"] == {"0": "first", "2": "second", "3": "first"}
    assert maps["tails"]["values"] == {"1": "tail_one", "2": "tail_two"}
    assert maps["first"]["inner"] is None


def test_info_document_of_struct_ops(capsys):
    """The kernel's struct, and the programs that fill it."""
    maps = {m["name"]: m for m in document(capsys, "struct_ops")["maps"]}
    assert maps["linked"]["value_type"] == "struct tcp_congestion_ops"
    assert maps["linked"]["struct_ops"]["ssthresh"] == "ssthresh"


def test_info_document_of_variables_has_values(capsys):
    """Numbers as numbers, text as text, structs by member; the type as C has it."""
    variables = {v["name"]: v for v in document(capsys, "maps")["variables"]}
    assert {n: v["value"] for n, v in variables.items()} == {
        "on": True, "negative": -5, "text": "fixed", "pair": {"count": 1, "delta": -2, "pad": 0}, "plain": 7,
        "zeroed": 0, "hidden": 99, "unused_float": 1.5,
    }  # fmt: skip
    assert variables["text"]["type"] == "const volatile char[16]"
    assert variables["hidden"]["section"] == ".data"


def test_info_document_of_externs(capsys):
    """Options, symbols and functions of the kernel; which may be missing."""
    externs = {e["name"]: e for e in document(capsys, "externs")["externs"]}
    assert externs["CONFIG_HZ"] == {"name": "CONFIG_HZ", "section": ".kconfig", "type": "int", "weak": False}
    assert externs["bpf_task_acquire"]["type"] == "struct task_struct *(struct task_struct *)"
    assert {n for n, e in externs.items() if e["weak"]} == {
        "CONFIG_NO_SUCH_OPTION", "bpf_no_such_function", "no_such_symbol",
    }  # fmt: skip


def test_info_document_of_records(capsys):
    """The layout that an anchor names."""
    assert document(capsys, "ring")["records"] == [
        {"map": "events", "type": "struct record", "size": 96, "min_size": 28}
    ]


def test_info_text_is_a_table_of_each(capsys):
    """Aligned, with what belongs to a row below it."""
    result = run(capsys, "info", path_of("nested"))
    assert result.lines[0] == f"{path_of('nested')}: little-endian, license Dual MIT/GPL, 62 BTF types"
    assert result.row("jumps")[1:4] == ["raw_tp/sys_enter", "RAW_TRACEPOINT", "-"]
    assert "      uses outer, empty, tails, .rodata, .bss" in result.lines
    assert result.row("outer")[1:] == ["ARRAY_OF_MAPS", "__u32", "(4)", "4", "bytes", "4"]
    assert "      0 = first, 2 = second, 3 = first" in result.lines
    head = next(line for line in result.lines if line.startswith("  name  ") and "entries" in line)
    assert all(line[head.index("type")] != " " for line in result.lines if line.startswith(("  outer", "  .bss  ")))
    assert run(capsys, "info", path_of("externs")).row("no_such_symbol")[-1] == "weak"
    assert run(capsys, "info", path_of("rejected")).row("unknown_section")[1] == "?no_such_section/target"


def test_info_big_values_are_left_out(capsys, tmp_path):
    """A megabyte of zeros is nothing to look at."""
    source = tmp_path / "big.c"
    source.write_text("int big[100000]; int *f(void) { return big; }")
    made = tmp_path / "big.o"
    subprocess.run(
        [require_tool("clang-19"), "-target", "bpf", "-g", "-O2", "-c", source, "-o", made], check=True, timeout=60
    )
    (big,) = run(capsys, "info", made, "--json").document["variables"]
    assert (big["value"], big["size"]) == (None, 400_000)
    assert run(capsys, "info", made).row("big")[-1] == "..."


def test_info_program_that_cannot_be_linked_is_an_error_beside_the_others(capsys, tmp_path):
    """A call to nowhere: named on stderr, exit code 1, and all else is shown."""
    data = bytearray(path_of("subprogs").read_bytes())
    # `calls_leaf` has one relocation, of its call: with another type of symbol it lands elsewhere.
    call = bytes.fromhex("85100000ffffffff")
    at = data.rindex(call)
    data[at + 4 : at + 8] = (5).to_bytes(4, "little")
    path = tmp_path / "broken.bpf.o"
    path.write_bytes(data)
    result = run(capsys, "info", path, "--json")
    errors = {p["name"]: p["error"] for p in result.document["programs"]}
    assert result.code == 1
    assert errors["calls_all"] is None
    assert "no function begins at" in errors["calls_leaf"]
    assert result.err == f"pybpfload: {errors['calls_leaf']}\n"
    assert run(capsys, "info", path).row("calls_leaf")[-1] == "error"
