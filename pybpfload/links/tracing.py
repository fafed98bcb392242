"""Tracepoints, and what attaches by BTF: tp_btf, fentry, fexit, fmod_ret, lsm, freplace."""

from __future__ import annotations

import errno

from pybpfload._sys import bpf, perf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError, BpfError
from pybpfload.features import FEATURES, has
from pybpfload.links.base import Link
from pybpfload.links.event import attach_event
from pybpfload.links.extend import function_id
from pybpfload.progs import Program
from pybpfload.uapi import AttachType, ProgType

ENOTSUPP = 524  # of the kernel alone

__all__ = ["attach_freplace", "attach_raw_tracepoint", "attach_tracepoint", "attach_tracing"]


def attach_raw_tracepoint(program: Program, target: str | None = None, cookie: int = 0) -> Link:
    """A raw tracepoint.

    Args:
        target: its name, ``sys_enter``; None takes it from SEC(raw_tp/NAME).
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program.

    Raises:
        AttachError: there is no such tracepoint, or this kernel has no cookies here.

    Kernel: 4.17, c4f6699dfcb8; cookies 6.10, 68ca5d4eebb8.
    """
    if target is None and program.spec.type in (ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE):
        target = program.spec.target
    return _open(program, target, f"tracepoint {target or program.spec.target}", cookie)


@uninterrupted
def _open(program: Program, name: str | None, target: str, cookie: int) -> Link:
    if cookie and not has("raw_tp_cookie"):
        raise AttachError(program.name, target, "this kernel has no cookies on raw tracepoints (they came with 6.10)")
    result = sys_links.raw_tracepoint_open(program.fileno(), name, cookie)
    if result < 0:
        refused = bpf.error_of(-result, "BPF_RAW_TRACEPOINT_OPEN", _hint(program, result))
        raise AttachError(program.name, target, refused) from refused
    return _link(program, result, target)


def _link(program: Program, number: int, target: str) -> Link:
    kind = "tracing" if _patches(program) else "raw_tracepoint"
    return Link(program.name, kind, target, [Fd(number, f"link of {program.name}")])


def _patches(program: Program) -> bool:
    """Whether it is called from a patched function, not from a tracepoint."""
    spec = program.spec
    if spec.type is ProgType.TRACING:
        return spec.attach_type != AttachType.TRACE_RAW_TP
    return spec.type in (ProgType.LSM, ProgType.EXT)


def _hint(program: Program, result: int) -> str:
    """What an errno means here, where the kernel's own word says too little."""
    if result == -errno.EBUSY and program.spec.type is ProgType.EXT:
        return "another program replaces this function already"
    if result in (-errno.EBUSY, -errno.EPERM, -ENOTSUPP) and _patches(program):
        return "this kernel's functions cannot be patched, or this one not now"
    return ""


@uninterrupted
def attach_tracing(program: Program, cookie: int = 0) -> Link:
    """What the program was loaded for: tp_btf, fentry, fexit, fmod_ret, lsm.

    BPF_RAW_TRACEPOINT_OPEN does it on every kernel; a cookie needs BPF_LINK_CREATE.

    Args:
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program.

    Raises:
        AttachError: the function cannot be patched now, or this kernel has no cookies here.

    Kernel: 5.5, fec56f5890d9; lsm 5.7, 9e4e01dfd325; cookies 6.0, 2fcc82411e74 (tp_btf 6.10).
    """
    spec = program.spec
    target = f"{spec.section.partition('/')[0]} {spec.target}"
    if not cookie:
        return _open(program, None, target, 0)
    feature = "tracing_cookie" if _patches(program) else "raw_tp_cookie"
    if not has(feature):
        raise AttachError(program.name, target, f"this kernel has no {FEATURES[feature].title}")
    result = sys_links.create_tracing(program.fileno(), spec.attach_type, cookie)
    if result < 0:
        refused = bpf.error_of(-result, "BPF_LINK_CREATE tracing", _hint(program, result))
        raise AttachError(program.name, target, refused) from refused
    return _link(program, result, target)


@uninterrupted
def attach_freplace(program: Program, target: Program | None = None, function: str = "", cookie: int = 0) -> Link:
    """A function of another program, which this one replaces.

    Args:
        target: another program than the one it was loaded for, with a function of the same type.
        function: in `target`; "" takes the name from SEC(freplace/FUNCTION).
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program.

    Raises:
        AttachError: `target` has no such function, its type is another, or it is replaced already.

    Kernel: 5.6, be8704ff07d2; other targets 5.10, 4a1e7c0c63e0.
    """
    shown = f"freplace {function or program.spec.target}"
    if target is None:
        return _open(program, None, shown, cookie)
    try:
        number = function_id(target, function or program.spec.target)
    except BpfError as cause:
        raise AttachError(program.name, shown, cause) from cause
    result = sys_links.create_tracing(program.fileno(), 0, cookie, target.fileno(), number)
    if result < 0:
        refused = bpf.error_of(-result, "BPF_LINK_CREATE freplace", _hint(program, result))
        raise AttachError(program.name, shown, refused) from refused
    return _link(program, result, shown)


def attach_tracepoint(program: Program, category: str, name: str, cookie: int = 0, *, kind: str | None = None) -> Link:
    """A tracepoint by category and name, through a perf event.

    Args:
        category, name: as in ``/sys/kernel/tracing/events/CATEGORY/NAME``.
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program (5.15).
        kind: ``perf_link`` or ``perf_ioctl`` to take that way only.

    Raises:
        AttachError: there is no such tracepoint, tracefs is not mounted, or the kernel refused.

    Kernel: 4.7, 98b5c2c65c29; links 5.15, b89fbfbb854c.
    """
    target = f"tracepoint {category}/{name}"
    try:
        event = perf.open_tracepoint(category, name)
    except (BpfError, OSError) as cause:
        raise AttachError(program.name, target, cause) from cause
    return attach_event(program, event, target, cookie, kind=kind)
