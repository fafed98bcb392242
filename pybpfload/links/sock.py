"""Network namespaces, socket maps, netfilter, single sockets."""

from __future__ import annotations

import errno
import os
import socket

from pybpfload._sys import bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError, SyscallError
from pybpfload.features import has
from pybpfload.links.base import Link
from pybpfload.links.event import wants
from pybpfload.links.target import OWN_NETNS, HasFileno, Place, by_prog_attach, opened
from pybpfload.maps import Map
from pybpfload.progs import Program
from pybpfload.uapi import AttachType, ProgType

__all__ = ["attach_netfilter", "attach_netns", "attach_socket", "attach_sockmap"]

FAMILIES = {"ipv4": 2, "ipv6": 10}
HOOKS = {"prerouting": 0, "local_in": 1, "forward": 2, "local_out": 3, "postrouting": 4}
DEFRAGMENT = 1  # BPF_F_NETFILTER_IP_DEFRAG
SO_ATTACH_BPF, SO_DETACH_BPF, SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF = 50, 27, 52, 68


@uninterrupted
def attach_netns(program: Program, netns: Place = OWN_NETNS, *, kind: str | None = None) -> Link:
    """A network namespace: sk_lookup, flow_dissector.

    Args:
        netns: its file (``/run/netns/NAME``, ``/proc/PID/ns/net``) or a file descriptor of that; this
            thread's by default.
        kind: ``netns_link`` or ``prog_attach`` (flow_dissector) to take that way only.

    Raises:
        AttachError: it is no network namespace, or the kernel refused; without links, any but this thread's own.

    Kernel: flow_dissector 4.20, d58e468b1112, links 5.8, 7f045a49fee0; sk_lookup 5.9, e9ddbb7707ff.
    """
    spec = program.spec
    attach_type = AttachType.SK_LOOKUP if spec.type is ProgType.SK_LOOKUP else AttachType.FLOW_DISSECTOR
    target = f"{attach_type.name.lower()} of {os.fspath(netns) if isinstance(netns, (str, os.PathLike)) else 'netns'}"
    try:
        with opened(netns) as fd:
            if wants(kind, "netns_link") and (kind is not None or has("link:netns")):
                result = sys_links.create(program.fileno(), fd, attach_type)
                if result < 0:
                    raise bpf.error_of(-result, "BPF_LINK_CREATE netns")
                return Link(program.name, "netns_link", target, [Fd(result, f"link of {program.name}")])
            # BPF_PROG_ATTACH means this thread's namespace, whatever it is given.
            if not os.path.samestat(os.fstat(fd), os.stat(OWN_NETNS)):
                raise SyscallError(errno.EINVAL, "BPF_PROG_ATTACH", "without links only this thread's own namespace")
            return by_prog_attach(program, None, attach_type, target)
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause


@uninterrupted
def attach_sockmap(program: Program, map: Map, *, kind: str | None = None) -> Link:
    """A sockmap or sockhash, for all sockets in it: sk_skb, sk_msg.

    Args:
        map: of type SOCKMAP or SOCKHASH; the program runs for sockets that are put in later, too.
        kind: ``sockmap_link`` or ``prog_attach`` to take that way only.

    Raises:
        AttachError: the map has such a program already, or the kernel refused.

    Kernel: 4.14, 174a79ff9515; links 6.10, 699c23f02c65.
    """
    target = f"{program.spec.section} of map {map.name}"
    attach_type = program.spec.attach_type
    try:
        if wants(kind, "sockmap_link") and (kind is not None or has("link:sockmap")):
            result = sys_links.create(program.fileno(), map.fileno(), attach_type)
            if result < 0:
                raise bpf.error_of(-result, "BPF_LINK_CREATE sockmap")
            return Link(program.name, "sockmap_link", target, [Fd(result, f"link of {program.name}")])
        return by_prog_attach(program, map.fileno(), attach_type, target)
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause


@uninterrupted
def attach_netfilter(
    program: Program, family: str | int, hook: str | int, *, priority: int, defragment: bool = False
) -> Link:
    """A netfilter hook, in this thread's network namespace.

    Args:
        family: ``ipv4`` or ``ipv6``.
        hook: prerouting, local_in, forward, local_out or postrouting.
        priority: among the hook's other users, the lowest first; neither the lowest nor the highest number.
        defragment: fragments arrive put together.

    Raises:
        AttachError: there is no such hook, another program has this priority, or the kernel refused.

    Kernel: 6.4, 84601d6ee68a; defragmentation 6.6, 91721c2d02d3.
    """
    target = f"netfilter {family} {hook} at priority {priority}"
    family_number = FAMILIES.get(family) if isinstance(family, str) else family
    hook_number = HOOKS.get(hook) if isinstance(hook, str) else hook
    if family_number is None or hook_number is None:
        expected = f"expected {' or '.join(FAMILIES)}, and one of {', '.join(HOOKS)}"
        raise AttachError(program.name, target, expected)
    flags = DEFRAGMENT if defragment else 0
    result = sys_links.create_netfilter(program.fileno(), family_number, hook_number, priority, flags)
    if result < 0:
        refused = bpf.error_of(-result, "BPF_LINK_CREATE netfilter")
        raise AttachError(program.name, target, refused) from refused
    return Link(program.name, "netfilter_link", target, [Fd(result, f"link of {program.name}")])


def attach_socket(program: Program, sock: int | HasFileno) -> Link:
    """One socket: a filter of what it receives, or (sk_reuseport) who of a group receives.

    Args:
        sock: a socket, or the number of its descriptor. The link has one of its own, so it may be closed first.

    Raises:
        AttachError: it is no socket, or the kernel refused.

    Kernel: 3.19, 89aa075832b0; reuseport 4.19, 8217ca653ec6.
    """
    reuseport = program.spec.type is ProgType.SK_REUSEPORT
    attach, detach = (
        (SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF) if reuseport else (SO_ATTACH_BPF, SO_DETACH_BPF)
    )
    number = sock if isinstance(sock, int) else sock.fileno()
    target = f"socket {number}"
    try:
        own = socket.socket(fileno=os.dup(number))
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause
    try:
        own.setsockopt(socket.SOL_SOCKET, attach, program.fileno())
    except OSError as error:
        own.close()
        raise AttachError(program.name, target, bpf.error_of(error.errno or 0, "setsockopt")) from error

    def remove() -> None:
        try:
            own.setsockopt(socket.SOL_SOCKET, detach, 0)
        except OSError as error:
            if error.errno != errno.ENOENT:  # somebody took it off
                raise bpf.error_of(error.errno or 0, "setsockopt") from error

    return Link(program.name, "setsockopt", target, [], undo=[remove, own.close])
