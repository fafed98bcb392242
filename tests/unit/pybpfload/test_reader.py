"""Objects: what they say, and what is said of malformed ones."""

from __future__ import annotations

import random
import struct
import subprocess

import pytest

import pybpfload
from pybpfload.errors import ObjectError, RecordError, SectionError
from pybpfload.sections import Flag, match_section
from pybpfload.uapi import AttachType, MapFlag, MapType, ProgType
from tests.support.objects import DATA, path_of, read

OBJECTS = sorted(p.name.split(".")[0] for p in DATA.glob("*.bpf.o"))


def test_read_programs_follow_their_sections():
    """Type, attach type, target and flags come from the SEC() name."""
    programs = read("tracepoint").programs
    assert {n: (p.type, p.attach_type, p.target) for n, p in programs.items()} == {
        "on_enter_getpgid": (ProgType.TRACEPOINT, 0, "syscalls/sys_enter_getpgid"),
        "on_raw_enter": (ProgType.RAW_TRACEPOINT, 0, "sys_enter"),
        "on_btf_enter": (ProgType.TRACING, AttachType.TRACE_RAW_TP, "sys_enter"),
    }


def test_read_question_mark_means_not_by_default():
    """SEC("?...") is read, but load() leaves it alone; an unknown name is an error only when it is loaded."""
    program = read("rejected").programs["unknown_section"]
    assert (program.autoload, program.type) == (False, ProgType.UNSPEC)


def test_read_map_definitions():
    """Types, sizes, flags and pinning, with and without BTF types."""
    maps = read("maps").maps
    typed = maps["typed"]
    assert (typed.type, typed.key_size, typed.value_size, typed.max_entries) == (MapType.HASH, 12, 16, 128)
    assert typed.flags == MapFlag.NO_PREALLOC
    assert (maps["raw"].key_size, maps["raw"].value_size, maps["raw"].pin_by_name) == (3, 5, True)
    assert not typed.pin_by_name
    assert maps["ring"].max_entries == 5000


def test_read_data_sections_are_maps():
    """.rodata is read-only for programs, .bss is zero."""
    maps = read("maps").maps
    assert maps[".rodata"].flags & MapFlag.RDONLY_PROG
    assert maps[".rodata"].frozen
    assert not maps[".data"].frozen
    assert bytes(maps[".bss"].content) == bytes(maps[".bss"].value_size)


def test_variables_have_their_initial_values():
    """Each by its type: bool, signed, text, struct, static."""
    variables = read("maps").variables
    assert dict(variables) == {
        "on": True, "negative": -5, "text": b"fixed", "pair": (1, -2, 0), "plain": 7, "zeroed": 0, "hidden": 99,
        "unused_float": 1.5,
    }  # fmt: skip


def test_variables_written_change_their_section():
    """What is set is what load() will give to the kernel."""
    spec = read("maps")
    spec.variables["negative"] = -6
    spec.variables["text"] = "new"
    spec.variables["pair"] = {"count": 9, "delta": 1}
    assert spec.variables["negative"] == -6
    assert spec.variables["text"] == b"new"
    assert spec.variables["pair"].count == 9
    assert struct.pack("<q", -6) in spec.maps[".rodata"].content


@pytest.mark.parametrize(
    ("name", "value"), [("plain", 1 << 32), ("plain", -1), ("text", b"x" * 17), ("pair", {"nope": 1})]
)
def test_variables_refuse_what_does_not_fit(name, value):
    """The error names the variable."""
    with pytest.raises(RecordError, match=f"variable `{name}`"):
        read("maps").variables[name] = value


def test_variables_unknown_name_suggests_the_closest():
    """A typing error gets a hint, as KeyError."""
    with pytest.raises(KeyError, match="closest is `plain`"):
        read("maps").variables["plian"]


def test_read_record_types_from_their_anchor():
    """RECORD_TYPE says which type a ring buffer's records have."""
    layout = read("ring").records["events"]
    assert layout.name == "record"
    assert layout.names[:2] == ("number", "inner")
    assert layout["number"].type_name == "my_number"


def test_read_symbols_agree_with_readelf():
    """Names, values and sizes of all symbols, as binutils' readelf prints them."""
    from pybpfload.elf import ElfFile

    elf = ElfFile(path_of("maps").read_bytes(), "maps")
    ours = [(s.value, s.size, s.name) for s in elf.symbols(elf.section(".symtab")) if s.name and s.type in (0, 1, 2)]
    text = subprocess.run(["readelf", "-sW", path_of("maps")], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines() if len(line.split()) == 8 and line.split()[0][0].isdigit()]
    assert rows
    theirs = [(int(r[1], 16), int(r[2], 0), r[7]) for r in rows if r[3] in ("NOTYPE", "OBJECT", "FUNC")]
    assert ours == theirs


def test_read_from_bytes_and_from_a_path_is_the_same(tmp_path):
    """A zip holds no paths: bytes will do."""
    spec = pybpfload.read_object(path_of("maps").read_bytes(), name="maps")
    assert dict(spec.variables) == dict(read("maps").variables)
    assert spec.name == "maps"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an ELF file: it begins with nothing"),
        (b"#!/bin/sh\n" + bytes(60), "not an ELF file: it begins with 23 21 2f 62"),
        (b"\x7fELF\x07\x01" + bytes(60), "ELF class 7"),
        (b"\x7fELF\x02\x01\x01" + bytes(20), "malformed ELF headers"),
    ],
)
def test_read_what_is_no_object_says_so(data, message):
    """The message says what was found."""
    with pytest.raises(ObjectError, match=message):
        pybpfload.read_object(data)


def test_read_an_executable_says_what_it_is():
    """A host's ELF file is not a BPF object."""
    with pytest.raises(ObjectError, match="not a BPF object: ELF type"):
        pybpfload.read_object("/bin/true")


@pytest.mark.parametrize("name", OBJECTS)
def test_read_truncated_anywhere_raises_only_object_error(name):
    """Cut at any place, the file is refused or read, and nothing else happens."""
    data = path_of(name).read_bytes()
    for cut in range(0, len(data), 61):
        try:
            pybpfload.read_object(data[:cut])
        except ObjectError:
            pass


@pytest.mark.parametrize("name", OBJECTS)
def test_read_damaged_anywhere_raises_only_object_error(name):
    """Random bytes changed at random places, 300 times."""
    good = path_of(name).read_bytes()
    dice = random.Random(name)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
        try:
            pybpfload.read_object(bytes(data))
        except ObjectError:
            pass


def test_error_with_control_characters_shows_them_escaped():
    """A name from a file cannot send escape sequences to a terminal."""
    with pytest.raises(SectionError) as caught:
        match_section("evil\x1b[31m\n")
    assert "\x1b" not in str(caught.value)
    assert r"\x1b[31m\n" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "prog_type", "attach_type", "target"),
    [
        ("kprobe/do_exit", ProgType.KPROBE, 0, "do_exit"),
        ("kprobe", ProgType.KPROBE, 0, ""),
        ("uprobe.multi//bin/sh:main", ProgType.KPROBE, AttachType.TRACE_UPROBE_MULTI, "/bin/sh:main"),
        ("xdp.frags/devmap", ProgType.XDP, AttachType.XDP_DEVMAP, ""),
        ("cgroup/connect_unix", ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_CONNECT, ""),
        ("fentry.s/vfs_read", ProgType.TRACING, AttachType.TRACE_FENTRY, "vfs_read"),
    ],
)
def test_match_section_rows(name, prog_type, attach_type, target):
    """Heads with and without targets."""
    row = match_section(name)
    assert (row.prog_type, row.attach_type, row.target) == (prog_type, attach_type, target)


def test_match_section_strict_refuses_what_lax_takes():
    """`xdp_drop` is no name of libbpf 1.x, but one that cilium/ebpf takes."""
    with pytest.raises(SectionError, match="closest is"):
        match_section("xdp_drop")
    assert match_section("xdp_drop", strict=False).prog_type is ProgType.XDP


def test_match_section_sleepable():
    """`.s` asks for a sleepable program."""
    assert match_section("lsm.s/bprm_check").flags & Flag.SLEEPABLE
