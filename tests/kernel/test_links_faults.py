"""System calls that fail in the middle of attaching: what was done until then is undone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import pybpfload
from pybpfload._sys import syscall
from pybpfload.errors import AttachError, SyscallError
from pybpfload.links.base import LinkSet
from tests.support.gates import open_fds
from tests.support.needs import needs
from tests.support.objects import only, read
from tests.support.sandbox import cgroup, libc_path, netns, own_probes

pytestmark = pytest.mark.kernel


class Failing:
    """The door to the kernel, of which one call fails."""

    def __init__(self, door, at):
        self.door = door
        self.left = at
        self.failed = False

    def __call__(self, number, *arguments):
        self.left -= 1
        if self.left == -1:
            self.failed = True
            return -errno.ENOMEM
        return self.door(number, *arguments)


def nothing_left(attach, monkeypatch):
    """Let the first call fail, the second, ... until it works; after each nothing is open that was not before."""
    door = syscall.door
    for at in range(100):
        before = open_fds()
        failing = Failing(door, at)
        monkeypatch.setattr(syscall, "door", failing)
        try:
            link = attach()
        except (AttachError, SyscallError):
            if not failing.failed:
                raise
        else:
            monkeypatch.setattr(syscall, "door", door)
            link.close()
            if not failing.failed:
                return at
        finally:
            monkeypatch.setattr(syscall, "door", door)
        assert open_fds() == before, f"call {at}"
        assert own_probes() == []
    raise AssertionError("it never came through")


LIBC = libc_path()
SYMBOLS = ["getpgid", "getsid", "getppid"]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "perf_ioctl"},
        pytest.param({"kind": "perf_link"}, marks=needs("perf_link")),
        pytest.param({"kind": "tracefs"}, marks=needs("tracefs")),
    ],
    ids=lambda o: o["kind"],
)
def test_uprobe_that_fails_anywhere_leaves_nothing(monkeypatch, options):
    """Three places, so that some are attached when one fails."""
    with only("uprobes", "by_event") as obj:
        program = obj.programs["by_event"]

        def attach():
            return pybpfload.attach_uprobe_multi(program, LIBC, SYMBOLS, pid=0, **options)

        assert nothing_left(attach, monkeypatch) >= 3


@needs("uprobe_multi")
def test_uprobe_multi_that_fails_leaves_nothing(monkeypatch):
    """One call, one place to fail."""
    with only("uprobes", "multi") as obj:
        nothing_left(lambda: pybpfload.attach_uprobe_multi(obj.programs["multi"], LIBC, SYMBOLS), monkeypatch)


def test_usdt_that_fails_gives_its_rows_back(monkeypatch):
    """The map's rows too."""
    from pybpfload.links import usdt

    python = "/usr/bin/python3"
    if b"gc__done" not in Path(python).read_bytes():
        pytest.skip(f"{python} has no USDT probes")
    with pybpfload.load(read("usdt")) as obj:

        def attach():
            return pybpfload.attach_usdt(obj.programs["on_probe"], python, "python", "gc__done", pid=os.getpid())

        nothing_left(attach, monkeypatch)
        assert usdt._rows == {}


@needs("kprobe")
@pytest.mark.parametrize("kind", ["perf_ioctl", "tracefs"])
def test_kprobe_that_fails_anywhere_leaves_nothing(monkeypatch, kind):
    """Two functions, one after the other."""
    monkeypatch.setattr("pybpfload.links.ladder.has", lambda name: False)
    with only("kprobes", "multi_with_cookie") as obj:
        program, names = obj.programs["multi_with_cookie"], ["security_task_getpgid", "security_task_getsid"]
        nothing_left(lambda: pybpfload.attach_kprobe_multi(program, names, kind=kind), monkeypatch)


@pytest.mark.parametrize("kind", ["perf_ioctl", pytest.param("perf_link", marks=needs("perf_link"))])
def test_sampling_that_fails_anywhere_leaves_nothing(monkeypatch, kind):
    """An event for each CPU."""
    with only("samples", "on_sample") as obj:
        nothing_left(lambda: pybpfload.attach_perf_event(obj.programs["on_sample"], kind=kind), monkeypatch)


@pytest.mark.parametrize("kind", ["prog_attach", pytest.param("cgroup_link", marks=needs("link:cgroup"))])
def test_cgroup_that_fails_leaves_nothing(monkeypatch, kind):
    """Neither a program in the cgroup nor a descriptor."""
    with only("cgroups", "skb_egress") as obj, cgroup(inside=False) as path:
        nothing_left(lambda: pybpfload.attach_cgroup(obj.programs["skb_egress"], path, kind=kind), monkeypatch)


@needs("iter")
def test_iterator_that_fails_leaves_nothing(monkeypatch):
    """The link, and each file of it."""
    with only("iterators", "tasks") as obj:

        def attach():
            link = pybpfload.attach_iter(obj.programs["tasks"])
            try:
                link.read()
            except BaseException:
                link.close()
                raise
            return link

        nothing_left(attach, monkeypatch)


@needs("struct_ops_link")
@pytest.mark.parametrize("name", ["plain", "linked"])
def test_struct_ops_that_fails_leaves_nothing(monkeypatch, name):
    """Nothing is registered."""
    spec = read("struct_ops")
    for definition in spec.maps.values():
        definition.autocreate = definition.name == name
    with pybpfload.load(spec) as obj:
        nothing_left(lambda: obj.attach_struct_ops(name), monkeypatch)
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as file:
        assert "pybpf_" not in file.read()


@pytest.mark.parametrize("attach", ["attach_xdp", "attach_tc"])
def test_netlink_that_is_refused_leaves_nothing(attach):
    """A program of the wrong type: neither an attachment nor clsact stays."""
    from pybpfload._sys.netlink import Route

    with only("net", "on_socket") as obj, netns():
        before = open_fds()
        arguments = ["lo"] if attach == "attach_xdp" else ["lo", "ingress"]
        with pytest.raises(AttachError, match="RTM_"):
            getattr(pybpfload, attach)(obj.programs["on_socket"], *arguments, kind="netlink")
        assert open_fds() == before
        route = Route()
        assert route.xdp_id(1) == 0
        assert route.add_clsact(1)
        route.close()


def test_attach_all_that_fails_anywhere_leaves_nothing(monkeypatch):
    """All or none."""
    with only("tracepoint", "on_enter_getpgid", "on_raw_enter", "on_btf_enter") as obj:
        assert nothing_left(obj.attach_all, monkeypatch) >= 3
        assert len(LinkSet()) == 0
