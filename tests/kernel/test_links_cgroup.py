"""Cgroups: a program for each hook, in a cgroup of the test's own."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

import pytest

import pybpfload
from pybpfload._sys import links as sys_links
from pybpfload.errors import AttachError
from pybpfload.uapi import AttachType
from tests.support.gates import bpf_object_exists
from tests.support.needs import need, needs, uses
from tests.support.objects import only
from tests.support.sandbox import bpffs, cgroup, netns

pytestmark = pytest.mark.kernel
LOCAL = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def datagrams(family, *, connected=False):
    """Bind, connect, names, send, receive."""
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as two:
        one.bind((LOCAL[family], 0))
        one.settimeout(30)
        if connected:
            two.connect(one.getsockname())
            two.getpeername()
            two.send(b"x")
        else:
            two.sendto(b"x", one.getsockname())
        one.recvfrom(9)


def local_sockets(folder):
    """The same of AF_UNIX, which has no bind hook."""
    path = str(folder / "socket")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
    ):
        one.bind(path)
        two.bind(path + "2")
        two.sendto(b"x", path)
        one.recvfrom(9)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path + "3")
        server.listen()
        client.connect(path + "3")
        client.getpeername()
        server.getsockname()


def stream():
    """A TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()


def options():
    """A socket's options, asked for and set."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


# program -> what makes it run
TRIGGERS = {
    "skb_ingress": lambda f: datagrams(socket.AF_INET),
    "skb_egress": lambda f: datagrams(socket.AF_INET),
    "sock_create": lambda f: datagrams(socket.AF_INET),
    "sock_release": lambda f: datagrams(socket.AF_INET),
    "post_bind4": lambda f: datagrams(socket.AF_INET),
    "post_bind6": lambda f: datagrams(socket.AF_INET6),
    "bind4": lambda f: datagrams(socket.AF_INET),
    "bind6": lambda f: datagrams(socket.AF_INET6),
    "connect4": lambda f: datagrams(socket.AF_INET, connected=True),
    "connect6": lambda f: datagrams(socket.AF_INET6, connected=True),
    "connect_unix": local_sockets,
    "sendmsg4": lambda f: datagrams(socket.AF_INET),
    "sendmsg6": lambda f: datagrams(socket.AF_INET6),
    "sendmsg_unix": local_sockets,
    "recvmsg4": lambda f: datagrams(socket.AF_INET),
    "recvmsg6": lambda f: datagrams(socket.AF_INET6),
    "recvmsg_unix": local_sockets,
    "getpeername4": lambda f: datagrams(socket.AF_INET, connected=True),
    "getpeername6": lambda f: datagrams(socket.AF_INET6, connected=True),
    "getpeername_unix": local_sockets,
    "getsockname4": lambda f: datagrams(socket.AF_INET),
    "getsockname6": lambda f: datagrams(socket.AF_INET6),
    "getsockname_unix": local_sockets,
    "sysctl": lambda f: Path("/proc/sys/kernel/ostype").read_text(),
    "getsockopt": lambda f: options(),
    "setsockopt": lambda f: options(),
    "dev": lambda f: Path("/dev/null").read_bytes(),
    "sock_ops": lambda f: stream(),
}
# What the rows of features call the attach types of these.
ATTACH = {
    "skb_ingress": "cgroup_inet_ingress", "skb_egress": "cgroup_inet_egress", "sock_create": "cgroup_inet_sock_create",
    "sock_release": "cgroup_inet_sock_release", "dev": "cgroup_device", "sock_ops": "cgroup_sock_ops",
    "sendmsg4": "cgroup_udp4_sendmsg", "sendmsg6": "cgroup_udp6_sendmsg", "recvmsg4": "cgroup_udp4_recvmsg",
    "recvmsg6": "cgroup_udp6_recvmsg",
}  # fmt: skip


def feature(program):
    """The row of a program's attach type."""
    name = ATTACH.get(program)
    if name is None:
        stem, suffix = program.rstrip("46"), program[-1] if program[-1] in "46" else ""
        kind, _, unix = stem.partition("_unix") if "_unix" in stem else (stem, "", None)
        middle = "unix_" if unix is not None else f"inet{suffix}_" if suffix else ""
        name = f"cgroup_{middle}{kind}"
    return f"attach:{name}"


# Program types, each with one of its programs.
SHOWN = {
    "skb_egress": "prog:cgroup_skb", "sock_create": "prog:cgroup_sock", "connect4": "prog:cgroup_sock_addr",
    "sysctl": "prog:cgroup_sysctl", "getsockopt": "prog:cgroup_sockopt", "dev": "prog:cgroup_device",
    "sock_ops": "prog:sock_ops",
}  # fmt: skip
PROGRAMS = [pytest.param(name, marks=uses(SHOWN[name]) if name in SHOWN else ()) for name in TRIGGERS]
WAYS = [pytest.param("cgroup_link", marks=uses("link:cgroup")), "prog_attach"]


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_cgroup_program_runs_for_its_hook(program, kind, tmp_path):
    """Each hook, by a link and as of old: it runs while it is attached, and not after."""
    need(feature(program))
    trigger = TRIGGERS[program]
    with only("cgroups", program) as obj, netns(), cgroup() as path:
        for part in ("a", "b"):
            (tmp_path / part).mkdir()
        with pybpfload.attach_cgroup(obj.programs[program], path, kind=kind) as link:
            assert link.kind == kind
            trigger(tmp_path / "a")
            hits = obj.variables["hits"]
        trigger(tmp_path / "b")
        assert hits >= 1
        assert obj.variables["hits"] == hits


@pytest.mark.parametrize("kind", WAYS)
def test_cgroup_program_forbids_in_its_cgroup_only(kind):
    """What it answers counts; processes elsewhere are not asked."""
    with only("cgroups", "skb_egress", answer=0) as obj, netns(), cgroup() as path:
        with pybpfload.attach_cgroup(obj.programs["skb_egress"], path, kind=kind), pytest.raises(PermissionError):
            datagrams(socket.AF_INET)
        datagrams(socket.AF_INET)
        with cgroup(inside=False) as other, pybpfload.attach_cgroup(obj.programs["skb_egress"], other, kind=kind):
            datagrams(socket.AF_INET)


def test_cgroup_several_programs_live_side_by_side():
    """Links and those of old in the same cgroup; each goes alone."""
    with only("cgroups", "skb_egress", "skb") as obj, cgroup(inside=False) as path:
        fd = os.open(path, os.O_RDONLY)
        try:

            def attached():
                return len(sys_links.prog_query(fd, AttachType.CGROUP_INET_EGRESS))

            with contextlib.ExitStack() as stack:
                for _ in range(2):
                    stack.enter_context(pybpfload.attach_cgroup(obj.programs["skb_egress"], path))
                stack.enter_context(
                    pybpfload.attach_cgroup(obj.programs["skb"], fd, AttachType.CGROUP_INET_EGRESS, kind="prog_attach")
                )
                assert attached() == 3
            assert attached() == 0
        finally:
            os.close(fd)


def test_cgroup_section_that_does_not_say_enough_asks_for_the_type():
    """cgroup/skb goes either way; and a cgroup has to be named."""
    with only("cgroups", "skb") as obj, cgroup(inside=False) as path:
        with pytest.raises(AttachError, match=r"SEC\('cgroup/skb'\) does not say which attach type"):
            pybpfload.attach_cgroup(obj.programs["skb"], path)
        with pytest.raises(AttachError, match=r"expected attach_cgroup\(program, DIRECTORY\)"):
            pybpfload.attach(obj.programs["skb"])


def test_cgroup_that_is_none_is_refused(tmp_path):
    """Any other directory."""
    with only("cgroups", "skb_egress") as obj:
        with pytest.raises(AttachError, match="this is no directory of a cgroup2 file system"):
            pybpfload.attach_cgroup(obj.programs["skb_egress"], tmp_path)
        with pytest.raises(AttachError, match="No such file"):
            pybpfload.attach_cgroup(obj.programs["skb_egress"], tmp_path / "nosuch")


@needs("link:cgroup")
def test_cgroup_link_is_pinned_opened_again_and_detached(tmp_path):
    """It outlives its Link; the pinned one says what it is; detaching leaves nothing."""
    with only("cgroups", "skb_egress", answer=0) as obj, netns(), cgroup() as path, bpffs(tmp_path / "bpf") as pins:
        pin = pins / "link"
        with pybpfload.attach_cgroup(obj.programs["skb_egress"], path, kind="cgroup_link") as link:
            link.pin(pin)
            number = link.id
        with pytest.raises(PermissionError):
            datagrams(socket.AF_INET)
        with pybpfload.open_link(pin) as again, pybpfload.link_from_id(number) as same:
            assert again.id == same.id == number
            assert again.kind == "cgroup_link"
            assert again.info().prog_id == obj.programs["skb_egress"].id
            assert again.info().details["cgroup_id"] == path.stat().st_ino
            pin.unlink()
            with pytest.raises(PermissionError):
                datagrams(socket.AF_INET)
        # The kernel may drop the last reference a moment later.
        deadline = time.monotonic() + 30
        while bpf_object_exists("link", number) and time.monotonic() < deadline:
            time.sleep(0.01)
        datagrams(socket.AF_INET)
