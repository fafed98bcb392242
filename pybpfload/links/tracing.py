"""Tracepoints: by their BTF type, raw, and through perf events."""

from __future__ import annotations

from pybpfload._sys import bpf, perf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload.errors import AttachError
from pybpfload.features import has
from pybpfload.links.base import Link
from pybpfload.progs import Program
from pybpfload.uapi import AttachType

__all__ = ["attach_perf_event", "attach_raw_tracepoint", "attach_tracepoint"]


def attach_raw_tracepoint(program: Program, target: str | None, cookie: int = 0) -> Link:
    """A raw tracepoint by name, or (None) what the program was loaded for: tp_btf, fentry, lsm.

    Kernel: 4.17, c4f6699dfcb8; with BTF 5.5, ac4414b5ca47; cookies 6.10.
    """
    shown = target or program.spec.target
    result = sys_links.raw_tracepoint_open(program.fileno(), target, cookie)
    if result < 0:
        cause = bpf.error_of(-result, "BPF_RAW_TRACEPOINT_OPEN")
        raise AttachError(program.name, f"tracepoint {shown}", cause) from cause
    return Link(program.name, "raw_tracepoint", shown, [Fd(result, f"link of {program.name}")])


def attach_tracepoint(program: Program, category: str, name: str, cookie: int = 0) -> Link:
    """A tracepoint by category and name, through a perf event.

    Kernel: 4.7, 98b5c2c65c29. Needs tracefs to be mounted.
    """
    try:
        event = perf.open_tracepoint(category, name)
    except Exception as cause:
        raise AttachError(program.name, f"tracepoint {category}/{name}", cause) from cause
    return attach_perf_event(program, event, f"tracepoint {category}/{name}", cookie)


def attach_perf_event(program: Program, event: Fd, target: str, cookie: int = 0) -> Link:
    """A perf event, which the link then owns: by a BPF link, or by ioctl where the kernel has none.

    Kernel: links and cookies 5.15, b89fbfbb854c.
    """
    try:
        if has("perf_link"):
            result = sys_links.create_perf(program.fileno(), event.fileno(), cookie, AttachType.PERF_EVENT)
            if result < 0:
                raise bpf.error_of(-result, "BPF_LINK_CREATE perf event")
            fds, kind = [Fd(result, f"link of {program.name}"), event], "perf_link"
        elif cookie:
            raise AttachError(program.name, target, "this kernel has no cookies (they came with 5.15)")
        else:
            perf.set_bpf(event.fileno(), program.fileno())
            fds, kind = [event], "perf_ioctl"
    except OSError as cause:
        event.close()
        raise AttachError(program.name, target, cause) from cause
    except BaseException:
        event.close()
        raise
    return Link(program.name, kind, target, fds)
