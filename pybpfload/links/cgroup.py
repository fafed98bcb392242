"""Cgroups: what the processes in one do with sockets, devices, sysctls."""

from __future__ import annotations

import errno
import os

from pybpfload._sys import bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError
from pybpfload.links.base import Link
from pybpfload.links.event import wants
from pybpfload.links.target import Place, by_prog_attach, opened
from pybpfload.progs import Program
from pybpfload.sections import Flag
from pybpfload.uapi import AttachType, ProgType

__all__ = ["attach_cgroup"]

ALLOW_MULTI = 2  # BPF_F_ALLOW_MULTI: beside the programs of others, and those of cgroups below
# What a kernel says that has no such link.
NO_LINK = (-errno.EINVAL, -errno.E2BIG)
# Sections that stand for several attach types, or for one whose number is 0.
UNSAID = ("cgroup/skb",)


@uninterrupted
def attach_cgroup(
    program: Program,
    cgroup: Place,
    attach_type: AttachType | int | None = None,
    *,
    flags: int = ALLOW_MULTI,
    kind: str | None = None,
) -> Link:
    """A cgroup, with all below it: cgroup_skb, cgroup/..., sockops, lsm_cgroup.

    Args:
        cgroup: its directory in a cgroup2 file system, or a file descriptor of that.
        attach_type: None takes it from SEC(), which ``cgroup/skb`` does not say.
        flags: of BPF_PROG_ATTACH, for kernels without links, which are always ALLOW_MULTI.
        kind: ``cgroup_link`` or ``prog_attach`` to take that way only.

    Raises:
        AttachError: it is no cgroup, or the kernel refused.

    Kernel: 4.10, 3007098494be; links 5.7, af6eea57437a; lsm_cgroup 6.0, 69fd337a975c.
    """
    spec = program.spec
    shown = os.fspath(cgroup) if isinstance(cgroup, (str, os.PathLike)) else "the cgroup"
    target = f"{spec.section} of {shown}"
    if attach_type is None:
        if spec.section in UNSAID or (not spec.attach_type and not spec.flags & Flag.ATTACH_TYPE):
            raise AttachError(program.name, target, f"SEC({spec.section!r}) does not say which attach type")
        attach_type = spec.attach_type
    try:
        with opened(cgroup) as fd:
            result = -errno.EINVAL
            if wants(kind, "cgroup_link"):
                result = sys_links.create(program.fileno(), fd, attach_type)
                if result >= 0:
                    return Link(program.name, "cgroup_link", target, [Fd(result, f"link of {program.name}")])
            # BPF_PROG_ATTACH takes no LSM programs.
            if result not in NO_LINK or not wants(kind, "prog_attach") or spec.type is ProgType.LSM:
                raise bpf.error_of(-result, "BPF_LINK_CREATE cgroup", _hint(result, fd))
            return by_prog_attach(program, fd, int(attach_type), target, flags)
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause


def _hint(result: int, fd: int) -> str:
    if result == -errno.EBADF and not os.path.exists(f"/proc/self/fd/{fd}/cgroup.procs"):
        return "this is no directory of a cgroup2 file system"
    return ""
