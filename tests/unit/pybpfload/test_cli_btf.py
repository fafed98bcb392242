"""`btf`: types as C, and numbers of types."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter

import pytest

from pybpfload.btf import Kind
from pybpfload.btf import types as t
from tests.support.commands import run
from tests.support.gates import require_tool
from tests.support.headers import compile_text
from tests.support.objects import DATA, path_of
from tests.support.types import Types, split_struct

OBJECTS = sorted(p.name.split(".")[0] for p in DATA.glob("*.bpf.o"))


def bpftools_types(path: object) -> list[dict[str, object]]:
    """What bpftool reads."""
    command = [require_tool("bpftool"), "-j", "btf", "dump", "file", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["types"]


@pytest.mark.parametrize("name", OBJECTS)
def test_btf_summary_counts_and_names_are_bpftools(name, capsys):
    """How many of each kind, and what they are called."""
    document = run(capsys, "btf", path_of(name), "--json").document
    types = bpftools_types(path_of(name))
    assert document["kinds"] == Counter(x["kind"].lower() for x in types)
    assert document["types"] == len(types)
    names: dict[str, list[object]] = {}
    for one in types:
        if one["name"] != "(anon)":
            names.setdefault(one["kind"].lower(), []).append(one["name"])
    assert document["names"] == names


def test_btf_summary_text_lists_names_by_kind(capsys):
    """One line a kind: number and names."""
    result = run(capsys, "btf", path_of("core"))
    assert re.search(r"core\.bpf\.o: 53 types in \d+ bytes, little-endian$", result.lines[0])
    assert result.row("struct") == ["struct", "3", "tree,", "leaf,", "tree___old"]
    assert result.row("ptr") == ["ptr", "4"]


def test_btf_name_shows_each_type_with_offsets(capsys):
    """A heading with id and size, then C."""
    result = run(capsys, "btf", path_of("core"), "leaf")
    assert result.lines == [
        "/* [5] struct leaf, 8 bytes, 2 members */",
        "struct leaf {",
        "    __u32 x;  /*     0     4 */",
        "    __u16 y;  /*     4     2 */",
        "    /* hole of 2 bytes */",
        "};",
    ]


def test_btf_name_is_shown_for_every_type_that_has_it(capsys, tmp_path):
    """A struct and a typedef, parted by an empty line; `struct x` asks for just that."""
    made = Types()
    number = made.int()
    made.typedef("pair", made.struct("pair", 8, ("a", number, 0), ("b", number, 4)))
    made.enum("pair", ("PAIR", 2))
    path = tmp_path / "raw.btf"
    path.write_bytes(made.blob())
    result = run(capsys, "btf", path, "pair")
    assert [line for line in result.lines if line.startswith("/* [")] == [
        "/* [2] struct pair, 8 bytes, 2 members */",
        "/* [3] typedef pair, 8 bytes */",
        "/* [4] enum pair, 4 bytes, 1 value */",
    ]
    assert "};\n\n/* [3]" in result.out
    assert run(capsys, "btf", path, "struct pair", "--c").out == "struct pair {\n    int a;\n    int b;\n};\n"
    assert run(capsys, "btf", path, "enum pair").lines[1:] == ["enum pair {", "    PAIR = 2,", "};"]
    assert run(capsys, "btf", path, "union pair").code == 1


def test_btf_name_as_json_has_members_and_values(capsys):
    """Names, types, places; null where there is nothing to say."""
    (tree,) = run(capsys, "btf", path_of("core"), "tree", "--json").document
    assert {k: tree[k] for k in ("kind", "name", "size")} == {"kind": "struct", "name": "tree", "size": 80}
    assert tree["c"].startswith("struct tree {\n    __u64 first;\n")
    assert tree["members"][2] == {
        "name": "row", "type": "struct leaf[4]", "type_id": tree["members"][2]["type_id"], "bit_offset": 128,
        "bitfield_size": None, "size": 32,
    }  # fmt: skip
    assert tree["members"][5]["bitfield_size"] == 7
    (color,) = run(capsys, "btf", path_of("core"), "color", "--json").document
    assert color["values"] == [{"name": "RED", "value": 1}, {"name": "GREEN", "value": 2}]
    (number,) = run(capsys, "btf", path_of("core"), "__u32", "--json").document
    assert (number["kind"], number["type"], number["size"]) == ("typedef", "unsigned int", None)


def test_btf_unknown_name_suggests_the_closest(capsys):
    """Only names of types are suggested, not those of members."""
    result = run(capsys, "btf", path_of("core"), "struct laef")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"pybpfload: {path_of('core')}: no type `struct laef`; closest is `leaf`\n"
    assert "closest" not in run(capsys, "btf", path_of("core"), "hiden").err


@pytest.mark.parametrize("name", OBJECTS)
def test_btf_c_is_a_header_that_compiles(name, capsys, tmp_path):
    """By itself and without a warning, also when it is included twice."""
    text = run(capsys, "btf", path_of(name), "--c").out
    compile_text(text + text, tmp_path)


def test_btf_c_is_relocatable_when_it_has_structs(capsys, tmp_path):
    """As vmlinux.h is: accesses to its structs are CO-RE relocations."""
    text = run(capsys, "btf", path_of("core"), "--c").out
    made = compile_text(text + "\nint f(struct tree *t) { return t->gone; }\n", tmp_path)
    listed = subprocess.run(
        [require_tool("llvm-objdump-19"), "-d", "-r", made], capture_output=True, text=True, check=True
    ).stdout
    assert "CO-RE <byte_off>" in listed


def test_btf_of_a_module_needs_its_base(capsys, tmp_path):
    """With --base its types refer to those of the kernel; without, the error says so."""
    made = Types()
    used = made.struct("used", 4, ("x", made.int(), 0))
    (tmp_path / "vmlinux").write_bytes(made.blob())
    (tmp_path / "module").write_bytes(split_struct(made.btf(), "mine", "member", used))
    base = ("--base", tmp_path / "vmlinux")
    result = run(capsys, "btf", tmp_path / "module", "mine", *base)
    assert result.lines[:3] == [
        "/* [3] struct mine, 4 bytes, 1 member */",
        "struct mine {",
        "    struct used member;  /*     0     4 */",
    ]
    summary = run(capsys, "btf", tmp_path / "module", *base)
    assert summary.row("struct")[1:] == ["1", "mine"]
    assert "ids from 3 on" in summary.out
    alone = run(capsys, "btf", tmp_path / "module", "mine")
    assert alone.code == 1
    assert "needs a base" in alone.err
    assert run(capsys, "btf", tmp_path / "module", "--c", *base).out.count("struct used {") == 1


def test_btf_of_the_other_byte_order_is_read(capsys, tmp_path):
    """A big-endian object's types look like any other's."""
    source = tmp_path / "big.c"
    source.write_text("struct s { short a; int b; } *p;")
    made = tmp_path / "big.o"
    subprocess.run([require_tool("clang-19"), "-target", "bpfeb", "-g", "-c", source, "-o", made], check=True)
    assert "big-endian" in run(capsys, "btf", made).lines[0]
    assert "    int b;    /*     4     4 */" in run(capsys, "btf", made, "s").lines


def test_btf_malformed_type_is_one_line(capsys, tmp_path):
    """A struct that contains itself: an error that names it."""
    made = Types()
    made.add(lambda i: t.Composite(i, Kind.STRUCT, "loop", 8, (t.Member("self", i, 0, 0),)))
    path = tmp_path / "loop.btf"
    path.write_bytes(made.blob())
    for arguments in (["--c"], ["loop"], ["loop", "--json"]):
        result = run(capsys, "btf", path, *arguments)
        assert result.code == 1
        assert result.err.count("\n") == 1
        assert "struct loop" in result.err


@pytest.mark.kernel
def test_btf_vmlinux_is_the_running_kernels(capsys):
    """Counts as bpftool's; a struct with the offsets of its BTF; a function's prototype."""
    types = bpftools_types("/sys/kernel/btf/vmlinux")
    document = run(capsys, "btf", "vmlinux", "--json").document
    assert document["kinds"] == Counter(x["kind"].lower() for x in types)
    assert document["names"] is None
    listed = next(x for x in types if x["kind"] == "STRUCT" and x["name"] == "list_head")
    assert run(capsys, "btf", "vmlinux", "list_head").lines[1:] == [
        "struct list_head {",
        "    struct list_head *next;  /*     0     8 */",
        "    struct list_head *prev;  /*     8     8 */",
        "};",
    ]
    assert listed["size"] == 16
    assert run(capsys, "btf", "vmlinux", "filp_open", "--c").out.endswith(
        "struct file *filp_open(const char *filename, int flags, umode_t mode);\n"
    )
