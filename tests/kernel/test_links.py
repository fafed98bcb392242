"""Links: each way of attaching sees exactly what this process does."""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest

import pybpfload
from pybpfload.errors import AttachError
from tests.support.gates import require_tool
from tests.support.objects import read

pytestmark = pytest.mark.kernel
TIMES = 101
COOKIE = 0xC00C1E


@pytest.fixture
def tracepoints():
    """tracepoint.bpf.c, watching this process only."""
    spec = read("tracepoint")
    spec.variables["targ_tgid"] = os.getpid()
    with pybpfload.load(spec) as obj:
        yield obj


def call_getpgid():
    """A prime number of system calls."""
    for _ in range(TIMES):
        os.getpgid(0)


def test_tracepoint_counts_exactly_and_has_its_cookie(tracepoints):
    """Through a perf event, with a cookie where the kernel has them."""
    with pybpfload.attach(tracepoints.programs["on_enter_getpgid"], cookie=COOKIE) as link:
        assert link.kind == "perf_link"
        call_getpgid()
    assert tracepoints.maps["hits"][0] == TIMES
    assert tracepoints.variables["cookie"] == COOKIE


def test_tracepoint_without_perf_links_falls_back_to_ioctl(tracepoints, monkeypatch):
    """Older kernels attach by ioctl; the link says which way was taken."""
    monkeypatch.setattr("pybpfload.links.tracing.has", lambda name: False)
    with pybpfload.attach(tracepoints.programs["on_enter_getpgid"]) as link:
        assert link.kind == "perf_ioctl"
        call_getpgid()
    assert tracepoints.maps["hits"][0] == TIMES
    with pytest.raises(AttachError, match="no cookies"):
        pybpfload.attach(tracepoints.programs["on_enter_getpgid"], cookie=COOKIE)


@pytest.mark.parametrize(("program", "hit"), [("on_raw_enter", 1), ("on_btf_enter", 2)])
def test_raw_and_btf_tracepoints_see_every_call(tracepoints, program, hit):
    """Both see all system calls of this process: at least those that were made for them."""
    with pybpfload.attach(tracepoints.programs[program]) as link:
        assert link.kind == "raw_tracepoint"
        call_getpgid()
    assert tracepoints.maps["hits"][hit] >= TIMES


def test_link_closed_detaches(tracepoints):
    """After close nothing is counted; closing again does nothing."""
    link = pybpfload.attach(tracepoints.programs["on_enter_getpgid"])
    link.close()
    link.close()
    call_getpgid()
    assert tracepoints.maps["hits"][0] == 0
    with pytest.raises(ValueError, match="closed"):
        link.fileno()


def test_attach_all_attaches_each_program(tracepoints):
    """One link a program; closing the set detaches them all."""
    with tracepoints.attach_all() as links:
        assert {x.program_name for x in links} == set(tracepoints.programs)
        call_getpgid()
    counted = [tracepoints.maps["hits"][i] for i in range(3)]
    assert counted[0] == TIMES
    call_getpgid()
    assert [tracepoints.maps["hits"][i] for i in range(3)] == counted


def test_attach_missing_tracepoint_names_it(tracepoints):
    """The program, the target and the cause."""
    with pytest.raises(AttachError, match="program `on_enter_getpgid`: cannot attach to tracepoint syscalls/nope"):
        pybpfload.attach_tracepoint(tracepoints.programs["on_enter_getpgid"], "syscalls", "nope")


def libc_path() -> str:
    """The libc that this process has mapped."""
    with open("/proc/self/maps") as file:
        return next(line.split()[-1] for line in file if "/libc.so" in line or "/libc-2" in line)


@pytest.fixture
def uprobes():
    """uprobe.bpf.c."""
    with pybpfload.load(read("uprobe")) as obj:
        yield obj


def test_uprobe_and_uretprobe_count_calls_of_one_process(uprobes):
    """Entry and return of a libc function, in this process only."""
    libc = ctypes.CDLL(None)
    entry, ret = uprobes.programs["on_entry"], uprobes.programs["on_return"]
    path = libc_path()
    with pybpfload.LinkSet() as links:
        links.add(pybpfload.attach_uprobe(entry, path, "getpgid", pid=os.getpid(), cookie=COOKIE))
        links.add(pybpfload.attach_uprobe(ret, path, "getpgid", ret=True, pid=os.getpid()))
        for _ in range(TIMES):
            libc.getpgid(0)
    libc.getpgid(0)
    assert uprobes.variables["entries"] == TIMES
    assert uprobes.variables["returns"] == TIMES
    assert uprobes.variables["returned"] == os.getpgid(0)
    assert uprobes.variables["cookie"] == COOKIE


@pytest.mark.parametrize("options", [["-no-pie"], ["-pie", "-fPIE"], ["-static"]], ids=" ".join)
def test_uprobe_finds_functions_wherever_an_executable_has_them(uprobes, tmp_path, options):
    """Addresses are not offsets: executables of each kind, one call each, seen at the function itself."""
    gcc = require_tool("gcc")
    source = "__attribute__((noinline)) int traced(int x) { return x + 41; } int main(void) { return traced(1); }"
    program = tmp_path / "program"
    subprocess.run([gcc, "-O1", *options, "-x", "c", "-", "-o", program], input=source.encode(), check=True)
    with pybpfload.LinkSet() as links:
        links.add(pybpfload.attach_uprobe(uprobes.programs["on_entry"], str(program), "traced"))
        links.add(pybpfload.attach_uprobe(uprobes.programs["on_return"], str(program), "traced", ret=True))
        assert subprocess.run([program], check=False).returncode == 42
    assert uprobes.variables["entries"] == 1
    assert uprobes.variables["returned"] == 42


def test_uprobe_missing_symbol_suggests_and_says_where_it_looked(uprobes):
    """The tables that were searched, and the closest name."""
    with pytest.raises(AttachError, match=r"no function `getpgidd` in \.dynsym.*closest is `getpgid`"):
        pybpfload.attach_uprobe(uprobes.programs["on_entry"], libc_path(), "getpgidd")


def test_uprobe_missing_file_names_it(uprobes):
    """The path stands in the message."""
    with pytest.raises(AttachError, match="/no/such/library"):
        pybpfload.attach_uprobe(uprobes.programs["on_entry"], "/no/such/library", "f")
