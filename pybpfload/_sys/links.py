"""bpf(2) for links."""

from __future__ import annotations

from pybpfload._sys import attrs
from pybpfload._sys.bpf import address_of, bpf, buffer
from pybpfload.uapi import Cmd

__all__ = [
    "create_perf",
    "raw_tracepoint_open",
]


def raw_tracepoint_open(prog_fd: int, name: str | None, cookie: int = 0) -> int:
    """BPF_RAW_TRACEPOINT_OPEN: a link, or minus the errno; `name` is None for programs with BTF targets."""
    text = buffer(name.encode("ascii", "replace") + b"\0") if name is not None else None
    attr = attrs.RawTracepointOpen(prog_fd=prog_fd, name=address_of(text) if text is not None else 0, cookie=cookie)
    attr.keep(text)
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, attr)


def create_perf(prog_fd: int, perf_fd: int, cookie: int, attach_type: int) -> int:
    """BPF_LINK_CREATE on a perf event: a link, or minus the errno. Kernel: 5.15, b89fbfbb854c."""
    attr = attrs.LinkCreatePerf(prog_fd=prog_fd, target_fd=perf_fd & 0xFFFFFFFF, attach_type=attach_type)
    attr.bpf_cookie = cookie
    return bpf(Cmd.LINK_CREATE, attr)
