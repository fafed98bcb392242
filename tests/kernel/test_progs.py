"""Programs in the kernel: what it tells about them, their code, pins, and finding them again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

import pytest

import pybpfload
from pybpfload.errors import AttachError, ObjectError, SyscallError
from pybpfload.uapi import ProgType
from tests.support.gates import require_tool
from tests.support.needs import need, needs
from tests.support.objects import read

pytestmark = pytest.mark.kernel

BPFFS = "/sys/fs/bpf"


@pytest.fixture
def bpffs():
    """A folder of its own on a bpffs."""
    with open("/proc/mounts") as mounts:
        if not any(line.split()[1:3] == [BPFFS, "bpf"] for line in mounts):
            subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=True)
    folder = f"{BPFFS}/pybpfload-test-{os.getpid()}"
    os.mkdir(folder)
    yield folder
    os.rmdir(folder)


def bpftool(*arguments: str):
    """What bpftool says, as JSON."""
    done = subprocess.run([require_tool("bpftool"), "-j", *arguments], capture_output=True, check=True)
    return json.loads(done.stdout)


def simple(*names: str):
    """Programs that every kernel loads."""
    spec = read("runs")
    for program in spec.programs.values():
        program.autoload = program.name in names
    return pybpfload.load(spec)


def test_info_is_that_of_bpftool():
    """Every field that bpftool shows."""
    with simple("rewrite") as obj:
        info = obj.programs["rewrite"].info()
        theirs = bpftool("prog", "show", "id", str(info.id))
    assert info.type is ProgType.SCHED_CLS
    assert (info.name, info.tag, info.uid) == (theirs["name"], theirs["tag"], theirs["uid"])
    assert (info.size, info.jited_size) == (theirs["bytes_xlated"], theirs["bytes_jited"])
    assert list(info.map_ids) == theirs["map_ids"]
    assert info.btf_id == theirs["btf_id"]
    assert info.gpl_compatible == theirs["gpl_compatible"]
    assert int(info.loaded_at) == pytest.approx(theirs["loaded_at"], abs=1)
    assert 0 < time.clock_gettime(time.CLOCK_BOOTTIME) - info.loaded_ns / 1e9 < 60


def test_info_maps_are_the_objects():
    """By their numbers."""
    with simple("rewrite") as obj:
        assert obj.programs["rewrite"].info().map_ids == (obj.maps[".bss"].id,)


def test_info_counts_what_the_verifier_saw():
    """Where the kernel tells: a program without branches is seen once."""
    need("verified_insns")
    with simple("length") as obj:
        assert obj.programs["length"].info().verified_insns == obj.programs["length"].insn_count == 2


def test_program_opened_by_its_id_is_the_same():
    """It has the kernel's name for it, and can be run, but says nothing of where it attaches."""
    with simple("length") as obj:
        with pybpfload.open_program(obj.programs["length"].id) as again:
            assert again.info() == obj.programs["length"].info()
            assert again.fileno() != obj.programs["length"].fileno()
            assert again.name == "length"
            assert again.run(bytes(20)).retval == 6
            with pytest.raises(AttachError):
                pybpfload.attach(again)
        assert again.closed
        assert not obj.programs["length"].closed


def test_program_of_no_such_id_is_enoent():
    """The number stands in the message."""
    with pytest.raises(SyscallError, match=r"BPF_PROG_GET_FD_BY_ID 2147483647: .*ENOENT"):
        pybpfload.open_program((1 << 31) - 1)


def test_pinned_program_outlives_its_object(bpffs):
    """It is found under its path until that is taken away."""
    path = f"{bpffs}/length"
    with simple("length") as obj:
        number = obj.programs["length"].id
        obj.programs["length"].pin(path)
    with pybpfload.open_program(path) as again:
        assert (again.id, again.run(bytes(20)).retval) == (number, 6)
        again.unpin(path)
    assert not os.path.exists(path)


def test_unpin_of_another_program_is_refused(bpffs):
    """What was not ours stays."""
    with simple("length", "rewrite") as obj:
        obj.programs["length"].pin(f"{bpffs}/it")
        with pytest.raises(ValueError, match=r"is program \d+, this one is \d+"):
            obj.programs["rewrite"].unpin(f"{bpffs}/it")
        obj.programs["length"].unpin(f"{bpffs}/it")


def test_pin_outside_of_a_bpffs_says_so(tmp_path):
    """The kernel only says EPERM or EINVAL."""
    with simple("length") as obj, pytest.raises(SyscallError, match="expected bpf"):
        obj.programs["length"].pin(tmp_path / "it")


def test_open_of_a_pinned_map_is_refused(bpffs):
    """A map is no program."""
    tool = require_tool("bpftool")
    path = f"{bpffs}/map"
    subprocess.run(
        [tool, *f"map create {path} type array key 4 value 4 entries 1 name m".split()], capture_output=True, check=True
    )
    try:
        with pytest.raises(ObjectError, match="is no program"):
            pybpfload.open_program(path)
    finally:
        os.unlink(path)


def test_lists_have_what_we_loaded():
    """Programs, maps and links by number, while they are there."""
    with simple("rewrite") as obj:
        program, data = obj.programs["rewrite"].info(), obj.maps[".bss"]
        assert program in pybpfload.list_programs()
        assert [(m.name, m.value_size) for m in pybpfload.list_maps() if m.id == data.id] == [
            ("runs.bss", data.value_size)
        ]
    assert program.id not in {one.id for one in pybpfload.list_programs()}
    spec = read("runs")
    for one in spec.programs.values():
        one.autoload = one.name == "on_cpu"
    with pybpfload.load(spec) as obj, pybpfload.attach_raw_tracepoint(obj.programs["on_cpu"], "sched_switch"):
        mine = [link for link in pybpfload.list_links() if link.program_id == obj.programs["on_cpu"].id]
        assert [link.type.name for link in mine] == ["RAW_TRACEPOINT"]


# The code -----------------------------------------------------------------------------------------


def theirs_of(number: int) -> list[str]:
    """Instructions, source lines and function names of bpftool, in the form of `ours_of`."""
    tool = require_tool("bpftool")
    dump = subprocess.run(
        [tool, "prog", "dump", "xlated", "id", str(number), "linum"], capture_output=True, text=True, check=True
    ).stdout
    lines = []
    for line in dump.splitlines():
        insn = re.match(r"\s*(\d+): \(([0-9a-f]{2})\) (.*)", line)
        if insn:
            # Functions are bpf_prog_TAG_NAME there, and functions' names ours.
            lines.append(f"{insn[1]} {insn[2]} {re.sub(r'bpf_prog_[0-9a-f]{16}_', '', insn[3])}")
        source = re.match(r"; (.*) \[file:(.*) line_num:(\d+) line_col:\d+\]", line)
        if source:
            lines.append(f"; {os.path.basename(source[2])}:{source[3]}: {source[1].strip()}")
    return lines


def ours_of(xlated) -> list[str]:
    """The same of our listing."""
    lines = []
    for one in xlated.insns:
        lines += [f"; {one.source}"] * bool(one.source)
        lines.append(f"{one.slot} {one.code:02x} {one.text}")
    return lines


def instructions(lines: list[str]) -> list[str]:
    """Without what bpftool 7.1 does not know yet: addresses of this CPU's copy are shown as plain moves."""
    return [re.sub(r"&\(void __percpu \*\)\((r\d)\)$", r"\1", line) for line in lines if not line.startswith(";")]


@pytest.mark.parametrize(
    "name",
    [
        *("runs", "tail", "subprogs", "maps", "ring", "tracepoint", "core", "nested"),
        pytest.param("uprobe", marks=needs("bpf_cookie")),
    ],
)
def test_xlated_is_that_of_bpftool(name):
    """Every instruction and every source line of each program; a function's name may be cut there."""
    spec = read(name)
    seen = 0
    for program in list(spec.programs):
        one = read(name)
        for other in one.programs.values():
            other.autoload = other.name == program
        try:
            loaded = pybpfload.load(one)
        except (SyscallError, ObjectError):
            continue  # what this kernel does not load
        with loaded as obj:
            ours, theirs = ours_of(obj.programs[program].xlated()), theirs_of(obj.programs[program].id)
        assert instructions(ours) == instructions(theirs)
        # They repeat a line for each of its pieces.
        assert [x for x in ours if x[0] == ";"] == [
            x for i, x in enumerate(y for y in theirs if y[0] == ";") if i == 0 or x != previous(theirs, i)
        ]
        seen += len(instructions(ours))
    assert seen > 5


def previous(lines: list[str], index: int) -> str:
    """The source line before the one with an index."""
    return [x for x in lines if x[0] == ";"][index - 1]


def test_xlated_text_has_functions_lines_and_code():
    """As a listing that one reads from top to bottom."""
    with simple("length") as obj:
        text = str(obj.programs["length"].xlated())
    assert text.startswith("length:\n; runs.bpf.c:")
    assert re.search(r"return skb->len;\n   0: \(61\) r0 = \*\(u32 \*\)\(r1 \+\d+\)\n   1: \(95\) exit$", text)


def test_xlated_code_is_the_kernels(tmp_path):
    """The bytes are those that bpftool writes to a file."""
    with simple("rewrite") as obj:
        program = obj.programs["rewrite"]
        file = tmp_path / "code"
        subprocess.run(
            [require_tool("bpftool"), "prog", "dump", "xlated", "id", str(program.id), "file", file], check=True
        )
        assert program.xlated().code == file.read_bytes()
