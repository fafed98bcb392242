"""Functions of the kernel: kprobes one by one and many at once, system calls, patched functions, LSM."""

from __future__ import annotations

import os

import pytest

import pybpfload
from pybpfload import features
from pybpfload.errors import AttachError
from tests.support.needs import need, needs, uses
from tests.support.objects import only
from tests.support.sandbox import cgroup, own_probes

pytestmark = pytest.mark.kernel
TIMES = 101
FUNCTION = "security_task_getpgid"
MISSPELT = "security_task_getpgidd"


@pytest.fixture(autouse=True)
def _nothing_in_tracefs():
    yield
    assert own_probes() == []


def load(*programs):
    """Programs of kprobes.bpf.c that count for this process."""
    return only("kprobes", *programs, targ_tgid=os.getpid())


def call_getpgid(times=TIMES):
    """With a pid, the kernel asks its security modules."""
    for _ in range(times):
        os.getpgid(os.getpid())


KINDS = [
    pytest.param("perf_link", marks=needs("kprobe", "perf_link")),
    pytest.param("perf_ioctl", marks=needs("kprobe")),
    pytest.param("tracefs", marks=needs("kprobe", "tracefs")),
    pytest.param(None, marks=needs("kprobe")),
]


@pytest.mark.parametrize("kind", KINDS)
def test_kprobe_and_kretprobe_count_by_each_step_of_the_ladder(kind):
    """Entry and return, the same counts by each way; the link says which was taken."""
    best = "perf_link" if features.has("perf_link") else "perf_ioctl"
    with load("plain", "plain_return") as obj:
        with pybpfload.LinkSet() as links:
            links.add(pybpfload.attach_kprobe(obj.programs["plain"], FUNCTION, kind=kind))
            links.add(pybpfload.attach_kprobe(obj.programs["plain_return"], FUNCTION, kind=kind))
            assert {link.kind for link in links} == {kind or best}
            call_getpgid()
        call_getpgid()
        assert obj.variables["hits"] == TIMES
        assert obj.variables["returns"] == TIMES


@needs("kprobe", "tracefs")
def test_kprobe_without_perf_source_falls_to_tracefs(monkeypatch):
    """A kernel whose perf events know no kprobes has them in tracefs."""
    monkeypatch.setattr("pybpfload._sys.perf.EVENT_SOURCE", "/nowhere")
    with load("plain") as obj:
        with pybpfload.attach_kprobe(obj.programs["plain"], FUNCTION) as link:
            assert link.kind == "tracefs"
            call_getpgid()
        assert obj.variables["hits"] == TIMES


@needs("kprobe", "bpf_cookie")
def test_kprobe_has_its_cookie():
    """bpf_get_attach_cookie()."""
    with load("with_cookie") as obj:
        with pybpfload.attach_kprobe(obj.programs["with_cookie"], FUNCTION, cookie=7):
            call_getpgid()
        assert obj.variables["cookies"] == 7 * TIMES


@needs("kprobe")
def test_kprobe_missing_function_suggests():
    """The closest name of /proc/kallsyms."""
    with load("plain") as obj:
        with pytest.raises(AttachError, match=f"no function `{MISSPELT}` in /proc/kallsyms; closest is `{FUNCTION}`"):
            pybpfload.attach_kprobe(obj.programs["plain"], MISSPELT)
        with pytest.raises(AttachError, match=r"expected SEC\(kprobe/FUNCTION\)"):
            pybpfload.attach(obj.programs["plain"])


@needs("kprobe")
def test_ksyscall_finds_the_kernels_name():
    """SEC(ksyscall/getpgid), whatever the function is called here."""
    with load("on_syscall", "on_syscall_return") as obj:
        with obj.attach_all() as links:
            assert len(links) == 2
            call_getpgid()
        assert obj.variables["hits"] == TIMES
        assert obj.variables["returns"] == TIMES
        with pytest.raises(AttachError, match="no system call `nosuch`"):
            pybpfload.attach_ksyscall(obj.programs["on_syscall"], "nosuch")


NAMES = [FUNCTION, "security_task_getsid"]


def call_both():
    os.getpgid(os.getpid())
    os.getsid(os.getpid())


@pytest.mark.parametrize("multi", [True, False], ids=["by-one-link", "without-such-links"])
def test_kprobe_multi_attaches_many_functions_each_with_its_cookie(multi, monkeypatch):
    """One link where the kernel has it; otherwise a perf event each, in one Link."""
    need("kprobe_multi" if multi else "kprobe")
    if not multi:
        monkeypatch.setattr("pybpfload.links.ladder.has", lambda name: False)
    cookies = [1, 20] if features.has("bpf_cookie") else []
    with load("multi_with_cookie") as obj:
        program = obj.programs["multi_with_cookie"]
        with pybpfload.attach_kprobe_multi(program, NAMES, cookies=cookies) as link:
            assert (link.kind == "kprobe_multi") == multi
            call_both()
        call_both()
        assert obj.variables["hits"] == 2
        assert obj.variables["cookies"] == sum(cookies)


@needs("kprobe_multi", "tracefs")
@uses("link:kprobe_multi")
def test_kprobe_multi_takes_patterns_and_returns():
    """SEC(kprobe.multi/PATTERN), and a pattern given by hand, at returns."""
    with load("multi", "multi_return") as obj:
        with pybpfload.LinkSet() as links:
            links.add(pybpfload.attach(obj.programs["multi"]))
            links.add(pybpfload.attach_kprobe_multi(obj.programs["multi_return"], "security_task_get[ps]*id"))
            call_both()
        assert obj.variables["hits"] >= 1
        assert obj.variables["returns"] == 2
        with pytest.raises(AttachError, match=r"no function like `nosuch\*` among those that can be traced"):
            pybpfload.attach_kprobe_multi(obj.programs["multi"], "nosuch*")


@needs("kprobe_multi")
def test_kprobe_multi_missing_function_suggests():
    """The kernel only says ESRCH."""
    with load("multi") as obj, pytest.raises(AttachError, match=f"closest is `{FUNCTION}`"):
        pybpfload.attach_kprobe_multi(obj.programs["multi"], [FUNCTION, MISSPELT])


@needs("kprobe_session")
def test_kprobe_session_runs_at_entry_and_return():
    """One program, two hits a call."""
    with load("session") as obj:
        with pybpfload.attach_kprobe_multi(obj.programs["session"], [FUNCTION]):
            call_getpgid()
        assert obj.variables["hits"] == 2 * TIMES


def trampolines(*programs):
    """Programs of trampolines.bpf.c, for this process."""
    return only("trampolines", *programs, targ_tgid=os.getpid())


@needs("fentry", "fexit")
@uses("link:tracing")
def test_fentry_and_fexit_count():
    """Both of the same function."""
    with trampolines("on_entry", "on_return") as obj:
        with obj.attach_all() as links:
            assert {link.kind for link in links} == {"tracing"}
            call_getpgid()
        call_getpgid()
        assert obj.variables["entries"] == TIMES
        assert obj.variables["returns"] == TIMES


@needs("fentry", "tracing_cookie")
def test_fentry_has_its_cookie():
    """Through BPF_LINK_CREATE."""
    with trampolines("on_entry_with_cookie") as obj:
        with pybpfload.attach(obj.programs["on_entry_with_cookie"], cookie=0xC00) as link:
            assert link.kind == "tracing"
            call_getpgid()
        assert obj.variables["cookie"] == 0xC00


@needs("fmod_ret")
def test_fmod_ret_gives_another_result():
    """The function is not called at all."""
    with trampolines("other_result") as obj:
        with pybpfload.attach(obj.programs["other_result"]), pytest.raises(PermissionError):
            os.getpgid(os.getpid())
        assert os.getpgid(os.getpid()) >= 0


@needs("lsm", "bpf_lsm")
@uses("prog:lsm")
def test_lsm_program_forbids():
    """One hook, for one process."""
    with trampolines("forbid") as obj:
        with pybpfload.attach(obj.programs["forbid"]) as link:
            assert link.kind == "tracing"
            with pytest.raises(PermissionError):
                os.getpgid(os.getpid())
        assert os.getpgid(os.getpid()) >= 0


@needs("attach:lsm_cgroup", "bpf_lsm")
def test_lsm_cgroup_program_forbids_in_its_cgroup():
    """For the processes of one cgroup."""
    import socket

    with trampolines("forbid_sockets") as obj, cgroup() as path:
        with pybpfload.attach_cgroup(obj.programs["forbid_sockets"], path) as link:
            assert link.kind == "cgroup_link"
            with pytest.raises(PermissionError):
                socket.socket(socket.AF_INET)
        socket.socket(socket.AF_INET).close()
