"""Rows about links that take more than their type to be known."""

from __future__ import annotations

import errno
import os
import struct

from pybpfload._sys import bpf
from pybpfload.features.base import EXIT_0, Feature, call, is_errno, kernel_type, loads, program
from pybpfload.features.links import create, made
from pybpfload.uapi import AttachType as A
from pybpfload.uapi import ProgType as P

__all__ = ["ATTACHING"]

COOKIE_HELPER = 174


def _tracing_cookie() -> bool:
    # Kernels without cookies take a link with one all the same, and forget it.
    return loads(
        P.TRACING, call(COOKIE_HELPER), *EXIT_0, attach_type=A.TRACE_FENTRY, btf_id=kernel_type("bpf_fentry_test1")
    )


def _uprobe_multi_pid() -> bool:
    # Those that filter by thread look at the path first; it is a directory.
    path, offsets = bpf.buffer(b"/\0"), bpf.buffer(bytes(8))
    words = struct.pack("=QQQQIIiI", bpf.address_of(path), bpf.address_of(offsets), 0, 0, 1, 0, -1, 0)
    with program(P.KPROBE, attach_type=A.TRACE_UPROBE_MULTI) as fd:
        return is_errno(create(fd, 0, A.TRACE_UPROBE_MULTI, words), errno.EINVAL)


def _iter_of_process() -> bool:
    words = bpf.buffer(struct.pack("=III", 0, os.getpid(), 0))
    with program(P.TRACING, attach_type=A.TRACE_ITER, btf_id=kernel_type("bpf_iter_task")) as fd:
        return made(create(fd, 0, A.TRACE_ITER, struct.pack("=QI", bpf.address_of(words), 12)))


ATTACHING: dict[str, Feature] = {
    "tracing_cookie": Feature("cookies on fentry, fexit, fmod_ret and lsm", "6.0", _tracing_cookie),
    "uprobe_multi_pid": Feature("links to many uprobes of a process, not of one thread", "6.10", _uprobe_multi_pid),
    "iter_process": Feature("iterators over the tasks of one process", "6.1", _iter_of_process),
    "iter_cgroup": Feature("iterators over cgroups", "6.1", lambda: kernel_type("bpf_iter_cgroup") > 0),
}
