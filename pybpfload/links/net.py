"""Network interfaces: XDP, tc and tcx, netkit."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from typing import Any

from pybpfload._sys import bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.netlink import EGRESS, INGRESS, Filter, Route
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError, SyscallError, UnsupportedError
from pybpfload.features import has
from pybpfload.links.base import Link, run_all
from pybpfload.links.event import wants
from pybpfload.links.target import interface_number, own_program
from pybpfload.progs import Program
from pybpfload.uapi import AttachType

__all__ = ["attach_netkit", "attach_tc", "attach_xdp"]

XDP_MODES = {"": 0, "skb": 2, "drv": 4, "hw": 8}
NO_REPLACE, EXPECTED = 1, 16  # XDP_FLAGS_UPDATE_IF_NOEXIST, XDP_FLAGS_REPLACE
BEFORE, AFTER, LINK = 1 << 3, 1 << 4, 1 << 13  # BPF_F_BEFORE ...
DIRECTIONS = {
    "ingress": (AttachType.TCX_INGRESS, INGRESS),
    "egress": (AttachType.TCX_EGRESS, EGRESS),
}
_lock = threading.Lock()
_handles = itertools.count(1)


def _interface(program: Program, device: str | int, target: str) -> int:
    try:
        return interface_number(device)
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause


@uninterrupted
def attach_xdp(program: Program, device: str | int, *, mode: str = "", kind: str | None = None) -> Link:
    """A network interface, before the kernel has made a packet of what came in.

    Args:
        device: its name or number, in this thread's network namespace.
        mode: ``skb`` (works on all), ``drv`` or ``hw`` to insist on one.
        kind: ``xdp_link`` or ``netlink`` to take that way only.

    Raises:
        AttachError: the interface has a program already, or the kernel refused.

    Kernel: 4.8, a7862b45849f; links 5.9, aa8d3a716b59.
    """
    target = f"xdp of {device}"
    if mode not in XDP_MODES:
        raise AttachError(program.name, target, f"mode `{mode}`: expected skb, drv or hw")
    index, flags = _interface(program, device, target), XDP_MODES[mode]
    try:
        if wants(kind, "xdp_link") and (kind is not None or has("link:xdp")):
            result = sys_links.create(program.fileno(), index, AttachType.XDP, flags)
            if result < 0:
                raise bpf.error_of(-result, "BPF_LINK_CREATE xdp")
            return Link(program.name, "xdp_link", target, [Fd(result, f"link of {program.name}")])
        return _xdp_by_netlink(program, device, index, flags, target)
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause


def _xdp_by_netlink(program: Program, device: str | int, index: int, flags: int, target: str) -> Link:
    what = f"RTM_SETLINK {device}"
    route, own = Route(), own_program(program)
    try:
        route.set_xdp(index, program.fileno(), flags | NO_REPLACE, None, what)
    except BaseException:
        run_all([own.close, route.close])
        raise

    def remove() -> None:
        try:
            route.set_xdp(index, -1, flags | EXPECTED, own.fileno(), what)
        except SyscallError as error:
            if error.errno not in (errno.ENODEV, errno.EEXIST):  # gone, or taken over by another program
                raise

    return Link(program.name, "netlink", target, [], undo=[remove, own.close, route.close])


def attach_tc(
    program: Program,
    device: str | int,
    direction: str = "",
    *,
    before: Link | Program | None = None,
    after: Link | Program | None = None,
    first: bool = False,
    handle: int = 0,
    priority: int = 0,
    kind: str | None = None,
) -> Link:
    """A network interface, for each packet that comes in or goes out: a tcx link, or a filter of clsact.

    Args:
        device: its name or number, in this thread's network namespace.
        direction: ``ingress`` or ``egress``; "" takes it from SEC(tcx/...).
        before, after: its place among others (tcx only); the default is behind all.
        first: before all others (tcx only).
        handle, priority: of the filter (clsact only); 0 lets them be chosen.
        kind: ``tcx_link`` or ``netlink`` to take that way only.

    Raises:
        AttachError: there is no such interface, or the kernel refused.

    Kernel: clsact 4.5, 1f211a1b929c; tcx 6.6, e420bed02507.
    """
    direction = direction or program.spec.section.partition("/")[2]
    target = f"tc {direction} of {device}"
    if direction not in DIRECTIONS:
        raise AttachError(program.name, target, "expected the direction ingress or egress")
    index = _interface(program, device, target)
    attach_type, parent = DIRECTIONS[direction]
    anchored = first or before is not None or after is not None
    try:
        if wants(kind, "tcx_link") and (kind is not None or has("link:tcx")):
            return _anchored(program, "tcx_link", target, index, attach_type, before, after, first)
        if anchored:
            raise UnsupportedError("order among programs of tc", "6.6")
        return _by_filter(program, target, index, parent, handle, priority)
    except (OSError, UnsupportedError) as cause:
        raise AttachError(program.name, target, cause) from cause


@uninterrupted
def _anchored(
    program: Program,
    kind: str,
    target: str,
    index: int,
    attach_type: AttachType,
    before: Link | Program | None,
    after: Link | Program | None,
    first: bool,
) -> Link:
    anchor: Any = before if before is not None else after
    flags = BEFORE if before is not None or first else AFTER if after is not None else 0
    flags |= LINK if isinstance(anchor, Link) else 0
    relative = anchor.fileno() if anchor is not None else 0
    result = sys_links.create_anchored(program.fileno(), index, attach_type, flags, relative)
    if result < 0:
        raise bpf.error_of(-result, f"BPF_LINK_CREATE {kind.partition('_')[0]}")
    return Link(program.name, kind, target, [Fd(result, f"link of {program.name}")])


def _by_filter(program: Program, target: str, index: int, parent: int, handle: int, priority: int) -> Link:
    route = Route()
    # Handles of several processes are not to meet.
    handle = handle or (os.getpid() << 8 & 0xFFFF00) | (next(_handles) & 0xFF)
    where = Filter(index, parent, handle, priority or 1)
    place = (os.stat("/proc/thread-self/ns/net").st_ino, index)
    try:
        with _lock:
            if route.add_clsact(index):
                _clsacts.add(place)
            try:
                route.add_filter(where, program.fileno(), program.name)
            except BaseException:
                _tidy(route, place)
                raise
    except BaseException:
        route.close()
        raise

    def remove() -> None:
        try:
            with _lock:
                route.del_filter(where)
                _tidy(route, place)
        except SyscallError as error:
            if error.errno not in (errno.ENODEV, errno.ENOENT, errno.EINVAL):  # gone with its device or clsact
                raise

    return Link(program.name, "netlink", target, [], undo=[remove, route.close])


# Network namespace and interface, where clsact is ours.
_clsacts: set[tuple[int, int]] = set()


def _tidy(route: Route, place: tuple[int, int]) -> None:
    """Take clsact away again when it was ours and nothing is left in it."""
    index = place[1]
    if place in _clsacts and not route.filters(index, INGRESS) and not route.filters(index, EGRESS):
        _clsacts.discard(place)
        route.del_clsact(index)


def attach_netkit(
    program: Program,
    device: str | int,
    *,
    peer: bool | None = None,
    before: Link | Program | None = None,
    after: Link | Program | None = None,
    first: bool = False,
) -> Link:
    """A netkit device, for what its primary or its peer sends.

    Args:
        device: the primary's name or number, in this thread's network namespace.
        peer: what the peer sends; None takes it from SEC(netkit/...).
        before, after, first: as for attach_tc().

    Raises:
        AttachError: it is no netkit device, or not the primary of its pair, or the kernel refused.

    Kernel: 6.7, 35dfaad7188c.
    """
    peer = program.spec.section == "netkit/peer" if peer is None else peer
    target = f"netkit {'peer' if peer else 'primary'} of {device}"
    index = _interface(program, device, target)
    attach_type = AttachType.NETKIT_PEER if peer else AttachType.NETKIT_PRIMARY
    try:
        return _anchored(program, "netkit_link", target, index, attach_type, before, after, first)
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause
