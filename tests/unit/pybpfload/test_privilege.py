"""Why the kernel may have said no, told from what a process has and what settings say."""

from __future__ import annotations

import pytest

from pybpfload import privilege
from pybpfload.errors import PrivilegeError
from pybpfload.privilege import BPF, NET_ADMIN, PERFMON, SYS_ADMIN, Privileges, hindrances
from pybpfload.uapi import ProgType


def process(*capabilities: int, **changes) -> Privileges:
    """A process with these capabilities on a usual kernel."""
    usual = Privileges(
        uid=1000,
        capabilities=sum(1 << one for one in capabilities),
        last_capability=40,
        own_namespace=False,
        unprivileged_bpf=0,
        perf_paranoid=-1,
        kptr_restrict=0,
        lockdown=None,
        seccomp=False,
        memlock=-1,
    )
    return usual._replace(**changes)


@pytest.mark.parametrize(
    ("call", "prog_type", "now", "expected"),
    [
        ("BPF_MAP_CREATE events", None, process(), "(uid 1000) has no CAP_BPF, nor CAP_SYS_ADMIN"),
        ("BPF_MAP_CREATE events", None, process(last_capability=37), "has no CAP_SYS_ADMIN"),
        ("BPF_PROG_LOAD p", ProgType.KPROBE, process(), "has no CAP_BPF and no CAP_PERFMON"),
        ("BPF_PROG_LOAD p", ProgType.KPROBE, process(BPF), "has no CAP_PERFMON"),
        ("BPF_PROG_LOAD p", ProgType.XDP, process(BPF), "has no CAP_NET_ADMIN"),
        ("BPF_PROG_LOAD p", ProgType.XDP, process(SYS_ADMIN), "has no CAP_NET_ADMIN"),
        ("BPF_PROG_GET_FD_BY_ID 5", None, process(BPF, PERFMON), "has no CAP_SYS_ADMIN"),
        ("perf_event_open x", None, process(perf_paranoid=2), "kernel.perf_event_paranoid is 2"),
        ("/proc/kallsyms", None, process(BPF, kptr_restrict=1), "kernel.kptr_restrict is 1"),
        ("BPF_MAP_CREATE m", None, process(unprivileged_bpf=2), "kernel.unprivileged_bpf_disabled is 2"),
        ("BPF_PROG_LOAD p", ProgType.KPROBE, process(SYS_ADMIN, lockdown="confidentiality"), "confidentiality"),
        ("BPF_PROG_LOAD p", ProgType.SOCKET_FILTER, process(BPF, own_namespace=True), "within a user namespace"),
        ("BPF_MAP_CREATE m", None, process(SYS_ADMIN, seccomp=True), "seccomp filter"),
        ("BPF_MAP_CREATE m", None, process(SYS_ADMIN, memlock=65536), "locked memory is 65536 bytes"),
        ("BPF_PROG_LOAD p", ProgType.LSM, process(SYS_ADMIN), "no capability is missing"),
        ("BPF_MAP_UPDATE_ELEM m", None, process(BPF), "may be frozen"),
        ("BPF_OBJ_PIN /tmp/m", None, process(BPF), "pins take a bpffs"),
    ],
)
def test_hindrances_name_what_is_in_the_way(call, prog_type, now, expected):
    """One thing at a time."""
    assert expected in "; ".join(hindrances(call, prog_type, now=now))


@pytest.mark.parametrize(
    ("call", "prog_type", "now"),
    [
        ("BPF_MAP_CREATE m", None, process(BPF)),
        ("BPF_PROG_LOAD p", ProgType.KPROBE, process(BPF, PERFMON)),
        ("BPF_PROG_LOAD p", ProgType.XDP, process(BPF, NET_ADMIN)),
        ("BPF_PROG_LOAD p", ProgType.TRACEPOINT, process(SYS_ADMIN)),
        ("BPF_LINK_GET_NEXT_ID", None, process(SYS_ADMIN)),
        ("perf_event_open x", None, process(PERFMON, perf_paranoid=3)),
    ],
)
def test_hindrances_of_those_who_may_are_none(call, prog_type, now):
    """Nothing is blamed for no reason."""
    assert hindrances(call, prog_type, now=now) == []


def test_hindrances_of_what_nobody_may_without_capabilities_say_nothing_of_sysctls():
    """Programs that look into the kernel take capabilities whatever the sysctl is."""
    found = hindrances("BPF_PROG_LOAD p", ProgType.KPROBE, now=process(unprivileged_bpf=2))
    assert found == ["this process (uid 1000) has no CAP_BPF and no CAP_PERFMON, nor CAP_SYS_ADMIN"]


def test_hindrances_of_what_others_are_allowed_say_nothing_of_sysctls():
    """A sysctl that forbids it to the unprivileged is not why the privileged were refused."""
    assert hindrances("BPF_MAP_CREATE m", now=process(SYS_ADMIN, unprivileged_bpf=2)) == []


def test_privilege_error_has_a_hint_that_str_leaves_out():
    """str() stays as short as it is; an error from elsewhere has no hint."""
    error = PrivilegeError(1, "BPF_MAP_CREATE m")
    assert error.hint == ""
    error.explain = lambda: "this process has no CAP_BPF"
    assert error.hint == "this process has no CAP_BPF"
    assert str(error) == "BPF_MAP_CREATE m: Operation not permitted (EPERM)"


def test_read_privileges_reads_what_proc_says(tmp_path, monkeypatch):
    """Each file once; one that is missing is None."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text("Name:\tx\nCapEff:\t000000c000000000\nSeccomp:\t2\n")
    (tmp_path / "self" / "uid_map").write_text("         0      65534          1\n")
    kernel = tmp_path / "sys" / "kernel"
    kernel.mkdir(parents=True)
    (kernel / "cap_last_cap").write_text("40\n")
    (kernel / "perf_event_paranoid").write_text("-1\n")
    (tmp_path / "lockdown").write_text("none [integrity] confidentiality\n")
    monkeypatch.setattr(privilege, "PROC", str(tmp_path))
    monkeypatch.setattr(privilege, "LOCKDOWN", str(tmp_path / "lockdown"))
    now = privilege.read_privileges()
    assert now.has(BPF)
    assert now.has(PERFMON)
    assert not now.has(SYS_ADMIN)
    assert (now.last_capability, now.own_namespace, now.seccomp) == (40, True, True)
    assert (now.perf_paranoid, now.kptr_restrict, now.lockdown) == (-1, None, "integrity")
