"""Uprobes: places of files, by each way that a kernel has."""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest

import pybpfload
from pybpfload import features
from pybpfload.errors import AttachError
from tests.support.gates import require_tool
from tests.support.needs import needs, uses
from tests.support.objects import only, read
from tests.support.sandbox import libc_path, own_probes

pytestmark = pytest.mark.kernel
TIMES = 101
COOKIE = 0xC00C1E
LIBC = ctypes.CDLL(None)


@pytest.fixture(autouse=True)
def _nothing_in_tracefs():
    yield
    assert own_probes() == []


@pytest.fixture
def uprobes():
    """uprobe.bpf.c."""
    with pybpfload.load(read("uprobe")) as obj:
        yield obj


@pytest.fixture
def plain_uprobes(monkeypatch):
    """The same on a kernel without uprobe_multi: loaded as of old."""
    monkeypatch.setattr("pybpfload.links.ladder.has", lambda name: False)
    with pybpfload.load(read("uprobe")) as obj:
        yield obj


@uses("prog:kprobe")
def test_uprobe_and_uretprobe_count_calls_of_one_process(uprobes):
    """Entry and return of a libc function, in this process only, by the best way there is."""
    entry, ret = uprobes.programs["on_entry"], uprobes.programs["on_return"]
    best = (
        "uprobe_multi" if features.has("uprobe_multi") else "perf_link" if features.has("perf_link") else "perf_ioctl"
    )
    cookie = COOKIE if features.has("bpf_cookie") else 0
    with pybpfload.LinkSet() as links:
        links.add(pybpfload.attach_uprobe(entry, libc_path(), "getpgid", pid=os.getpid(), cookie=cookie))
        links.add(pybpfload.attach_uprobe(ret, libc_path(), "getpgid", pid=0))
        assert [link.kind for link in links] == [best, best]
        for _ in range(TIMES):
            LIBC.getpgid(0)
    LIBC.getpgid(0)
    assert uprobes.variables["entries"] == TIMES
    assert uprobes.variables["returns"] == TIMES
    assert uprobes.variables["returned"] == os.getpgid(0)
    assert uprobes.variables["cookie"] == cookie


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("perf_link", marks=needs("uprobe", "perf_link")),
        pytest.param("perf_ioctl", marks=needs("uprobe")),
        pytest.param("tracefs", marks=needs("tracefs")),
    ],
)
def test_uprobe_takes_each_step_of_the_ladder(plain_uprobes, kind):
    """The same counts by each way; the link says which was taken."""
    entry, ret = plain_uprobes.programs["on_entry"], plain_uprobes.programs["on_return"]
    with pybpfload.LinkSet() as links:
        links.add(pybpfload.attach_uprobe(entry, libc_path(), "getpgid", pid=0, kind=kind))
        links.add(pybpfload.attach_uprobe(ret, libc_path(), "getpgid", ret=True, pid=0, kind=kind))
        assert {link.kind for link in links} == {kind}
        assert bool(own_probes()) == (kind == "tracefs")
        for _ in range(TIMES):
            LIBC.getpgid(0)
    LIBC.getpgid(0)
    assert plain_uprobes.variables["entries"] == TIMES
    assert plain_uprobes.variables["returns"] == TIMES


def test_uprobe_without_perf_source_falls_to_tracefs(plain_uprobes, monkeypatch):
    """A kernel whose perf events know no uprobes has them in tracefs."""
    monkeypatch.setattr("pybpfload._sys.perf.EVENT_SOURCE", "/nowhere")
    with pybpfload.attach_uprobe(plain_uprobes.programs["on_entry"], libc_path(), "getpgid", pid=0) as link:
        assert link.kind == "tracefs"
        LIBC.getpgid(0)
    assert plain_uprobes.variables["entries"] == 1


@pytest.mark.parametrize("options", [["-no-pie"], ["-pie", "-fPIE"], ["-static"]], ids=" ".join)
def test_uprobe_finds_functions_wherever_an_executable_has_them(uprobes, tmp_path, options):
    """Addresses are not offsets: executables of each kind, one call each, seen at the function itself."""
    gcc = require_tool("gcc")
    source = "__attribute__((noinline)) int traced(int x) { return x + 41; } int main(void) { return traced(1); }"
    program = tmp_path / "program"
    subprocess.run([gcc, "-O1", *options, "-x", "c", "-", "-o", program], input=source.encode(), check=True)
    with pybpfload.LinkSet() as links:
        links.add(pybpfload.attach_uprobe(uprobes.programs["on_entry"], str(program), "traced"))
        links.add(pybpfload.attach_uprobe(uprobes.programs["on_return"], str(program), "traced"))
        assert subprocess.run([program], check=False).returncode == 42
    assert uprobes.variables["entries"] == 1
    assert uprobes.variables["returned"] == 42


def test_uprobe_by_absolute_offset_needs_no_symbol(uprobes):
    """As a number, or as a symbol's name that is one."""
    from pybpfload.symbols import file_offset_of

    offset = file_offset_of(libc_path(), "getpgid")
    program = uprobes.programs["on_entry"]
    for options in ({"offset": offset}, {"symbol": hex(offset)}):
        with pybpfload.attach_uprobe(program, libc_path(), pid=0, **options):
            LIBC.getpgid(0)
    assert uprobes.variables["entries"] == 2


def test_uprobe_missing_symbol_suggests_and_says_where_it_looked(uprobes):
    """The tables that were searched, and the closest name."""
    with pytest.raises(AttachError, match=r"no function `getpgidd` in \.dynsym.*closest is `getpgid`"):
        pybpfload.attach_uprobe(uprobes.programs["on_entry"], libc_path(), "getpgidd")


def test_uprobe_missing_file_names_it(uprobes):
    """The path stands in the message."""
    with pytest.raises(AttachError, match="/no/such/library"):
        pybpfload.attach_uprobe(uprobes.programs["on_entry"], "/no/such/library", "f")
    with pytest.raises(AttachError, match=r"libnosuch.*looked for in .*ld\.so\.cache"):
        pybpfload.attach_uprobe(uprobes.programs["on_entry"], "libnosuch", "f")


def test_uprobe_library_by_name_is_what_the_process_has_mapped():
    """SEC(uprobe/libc.so.6:getpgid) needs no path; with pid, the process's own mappings decide."""
    with only("uprobes", "named") as obj:
        for options in ({}, {"pid": os.getpid()}):
            with pybpfload.attach_uprobe(obj.programs["named"], "libc", "getpgid", **options):
                LIBC.getpgid(0)
        with pybpfload.attach(obj.programs["named"]):
            LIBC.getpgid(0)
        assert obj.variables["hits"] >= 3


def test_uprobe_in_another_mount_namespace_means_its_files(uprobes, tmp_path):
    """A path that exists in the process's own mounts only, as in a container."""
    gcc, unshare = require_tool("gcc"), require_tool("unshare")
    program = tmp_path / "program"
    source = """#include <stdio.h>
    __attribute__((noinline)) int traced(int x) { __asm__ volatile(""); return x + 41; }
    int main(void) { puts("ready"); fflush(stdout); getchar(); return traced(1); }"""
    subprocess.run([gcc, "-O1", "-x", "c", "-", "-o", program], input=source.encode(), check=True)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    script = 'mount -t tmpfs none "$1" && cp "$2" "$1/inside" && exec "$1/inside"'
    child = subprocess.Popen(
        [unshare, "-m", "--propagation", "private", "sh", "-c", script, "-", hidden, program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == b"ready\n"
        path = str(hidden / "inside")
        assert not os.path.exists(path)
        with pytest.raises(AttachError, match="inside"):
            pybpfload.attach_uprobe(uprobes.programs["on_entry"], path, "traced")
        with pybpfload.attach_uprobe(uprobes.programs["on_entry"], path, "traced", pid=child.pid):
            child.communicate(b"\n")
        assert child.returncode == 42
        assert uprobes.variables["entries"] == 1
    finally:
        child.kill()
        child.communicate()


def test_uprobe_of_a_process_that_is_gone_says_so(uprobes):
    """The pid is looked at first."""
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(AttachError, match=f"no process {child.pid}"):
        pybpfload.attach_uprobe(uprobes.programs["on_entry"], libc_path(), "getpgid", pid=child.pid)


FUNCTIONS = ["getpgid", "getsid", "getppid"]


def call_them():
    LIBC.getpgid(0)
    LIBC.getsid(0)
    LIBC.getppid()


@pytest.mark.parametrize(
    "multi",
    [
        pytest.param(True, marks=uses("link:uprobe_multi"), id="by-one-link"),
        pytest.param(False, id="without-such-links"),
    ],
)
def test_uprobe_multi_attaches_many_functions_each_with_its_cookie(multi, monkeypatch):
    """One link where the kernel has it; otherwise a perf event each, in one Link."""
    if not multi:
        monkeypatch.setattr("pybpfload.links.ladder.has", lambda name: False)
    with only("uprobes", "multi") as obj:
        cookies = [1, 20, 300] if features.has("bpf_cookie") else []
        with pybpfload.attach_uprobe_multi(
            obj.programs["multi"], libc_path(), FUNCTIONS, cookies=cookies, pid=0
        ) as link:
            assert (link.kind == "uprobe_multi") == multi
            call_them()
        call_them()
        assert obj.variables["hits"] == 3
        assert obj.variables["cookies"] == sum(cookies)


@uses("link:uprobe_multi")
def test_uprobe_multi_takes_patterns_and_returns():
    """A shell pattern stands for all functions that match; names at one place count once."""
    with only("uprobes", "multi_return") as obj:
        with pybpfload.attach_uprobe_multi(obj.programs["multi_return"], libc_path(), "get[ps]*id", pid=0):
            LIBC.getpgid(0)
            LIBC.getsid(0)
        assert obj.variables["hits"] == 2
        with pytest.raises(AttachError, match=r"no function like `nosuch\*`"):
            pybpfload.attach_uprobe_multi(obj.programs["multi_return"], libc_path(), "nosuch*")
        with pytest.raises(AttachError, match="2 cookies for 1 functions"):
            pybpfload.attach_uprobe_multi(obj.programs["multi_return"], libc_path(), ["getpgid"], cookies=[1, 2])


@needs("uprobe_session")
def test_uprobe_session_runs_at_entry_and_return():
    """One program, two hits a call."""
    with only("uprobes", "session") as obj:
        with pybpfload.attach_uprobe_multi(obj.programs["session"], libc_path(), ["getpgid"], pid=0):
            LIBC.getpgid(0)
        assert obj.variables["hits"] == 2


@needs("sleepable_uprobe")
def test_uprobe_may_sleep():
    """SEC(uprobe.s)."""
    with only("uprobes", "sleepable") as obj:
        with pybpfload.attach_uprobe(obj.programs["sleepable"], libc_path(), "getpgid", pid=0):
            LIBC.getpgid(0)
        assert obj.variables["hits"] == 1


@pytest.mark.parametrize("kind", ["multi", "events"])
def test_forty_uprobes_close_together(kind):
    """Each in a link of its own, closed at the same time: all are detached, none twice."""
    name = "sleepable" if kind == "multi" and features.has("uprobe_multi") else "by_event"
    with only("uprobes", name) as obj:
        links = pybpfload.LinkSet()
        for symbol in ["getpgid", "getsid"] * (20 if kind == "multi" else 3):
            links.add(pybpfload.attach_uprobe(obj.programs[name], libc_path(), symbol, pid=0))
        count = len(links)
        LIBC.getpgid(0)
        hits = obj.variables["hits"]
        links.close()
        assert len(links) == 0
        LIBC.getpgid(0)
        assert hits == count // 2
        assert obj.variables["hits"] == hits
