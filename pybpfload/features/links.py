"""Rows about links and attach types.

Nothing gets attached, with the exception of an iterator, which does nothing until it is read: a try
names a file descriptor, a device or a file that cannot be, and a kernel that gets as far as to look for
it knows the type.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from functools import partial

from pybpfload._sys import bpf
from pybpfload.errors import UnsupportedError
from pybpfload.features.base import EXIT, EXIT_0, Feature, is_errno, kernel_type, loads, mov, program
from pybpfload.features.kinds import ENOTSUPP, loaded_for
from pybpfload.sections import SECTIONS
from pybpfload.targets import kernel_btf
from pybpfload.uapi import AttachType, Cmd, MapFlag, MapType
from pybpfload.uapi import AttachType as A
from pybpfload.uapi import ProgType as P

__all__ = ["ATTACH_TYPES", "LINK_TYPES"]

NO_FD = 0xFFFFFFFF
NO_DEVICE = 0x7FFFFFFF


def create(prog_fd: int, target: int, attach_type: A, rest: bytes = b"") -> int:
    """BPF_LINK_CREATE."""
    return bpf.raw(Cmd.LINK_CREATE, struct.pack("=IIII", prog_fd, target, attach_type, 0) + rest)


def made(result: int) -> bool:
    """True when a call gave a file descriptor, which is closed; else what was in its way, as an exception."""
    return not is_errno(result)


def _by_fd(type: P, attach_type: A) -> bool:
    # Some program types may not be loaded for it, and the program itself is looked at before the type.
    with program(type, attach_type=0 if attach_type is A.PERF_EVENT else attach_type) as fd:
        return is_errno(create(fd, NO_FD, attach_type), errno.EBADF)


def _by_device(attach_type: A) -> bool:
    with program(P.SCHED_CLS) as fd:
        return is_errno(create(fd, NO_DEVICE, attach_type), errno.ENODEV)


def _netfilter() -> bool:
    with program(P.NETFILTER, attach_type=A.NETFILTER) as fd:
        return is_errno(create(fd, 0, A.NETFILTER, struct.pack("=IIiI", 255, 0, 0, 0)), errno.EAFNOSUPPORT)


def _kprobe_multi(attach_type: A) -> bool:
    with program(P.KPROBE, attach_type=attach_type) as fd:
        # One address, in a list that cannot be read.
        return is_errno(create(fd, 0, attach_type, struct.pack("=IIQQQ", 0, 1, 0, 1, 0)), errno.EFAULT)


def _uprobe_multi(attach_type: A) -> bool:
    path, offsets = bpf.buffer(b"/\0"), bpf.buffer(bytes(8))
    words = struct.pack("=QQQQIIII", bpf.address_of(path), bpf.address_of(offsets), 0, 0, 1, 0, 0, 0)
    with program(P.KPROBE, attach_type=attach_type) as fd:
        return is_errno(create(fd, 0, attach_type, words), errno.EBADF)  # a directory is no file


def _iterator() -> bool:
    with program(P.TRACING, attach_type=A.TRACE_ITER, btf_id=kernel_type("bpf_iter_task")) as fd:
        return made(create(fd, 0, A.TRACE_ITER))


def _struct_ops() -> bool:
    # The kernel's first type is no struct_ops; an unknown flag is noticed earlier.
    words = struct.pack("=IIIII40xI", MapType.STRUCT_OPS, 4, 4, 1, MapFlag.LINK, 1)
    return is_errno(bpf.raw(Cmd.MAP_CREATE, words), ENOTSUPP)


def _tracing() -> bool:
    return loads(P.TRACING, *EXIT_0, attach_type=A.TRACE_FENTRY, btf_id=kernel_type("bpf_fentry_test1"))


def _raw_tracepoint() -> bool:
    return is_errno(bpf.raw(Cmd.RAW_TRACEPOINT_OPEN, struct.pack("=QII", 0, NO_FD, 0)), errno.EBADF)


def _xdp() -> bool:
    # To try it would take a device. What the kernel calls its own types tells as well.
    return "BPF_LINK_TYPE_XDP" in kernel_btf().enum_values("bpf_link_type") and loads(P.XDP)


LINK_TYPES = {
    "link:raw_tracepoint": Feature("links to raw tracepoints", "4.17", _raw_tracepoint),
    "link:tracing": Feature("links of fentry, fexit and fmod_ret", "5.5", _tracing),
    "link:cgroup": Feature("links to cgroups", "5.7", partial(_by_fd, P.CGROUP_SKB, A.CGROUP_INET_EGRESS)),
    "link:iter": Feature("links of iterators", "5.8", _iterator),
    "link:netns": Feature("links to network namespaces", "5.8", partial(_by_fd, P.FLOW_DISSECTOR, A.FLOW_DISSECTOR)),
    "link:xdp": Feature("links to XDP", "5.9", _xdp),
    "link:perf_event": Feature("links to perf events", "5.15", partial(_by_fd, P.TRACEPOINT, A.PERF_EVENT)),
    "link:kprobe_multi": Feature("links to many kprobes", "5.18", partial(_kprobe_multi, A.TRACE_KPROBE_MULTI)),
    "link:struct_ops": Feature("links of struct_ops", "6.4", _struct_ops),
    "link:netfilter": Feature("links to netfilter", "6.4", _netfilter),
    "link:tcx": Feature("links to tcx", "6.6", partial(_by_device, A.TCX_INGRESS)),
    "link:uprobe_multi": Feature("links to many uprobes", "6.6", partial(_uprobe_multi, A.TRACE_UPROBE_MULTI)),
    "link:netkit": Feature("links to netkit", "6.7", partial(_by_device, A.NETKIT_PRIMARY)),
    "link:sockmap": Feature("links to socket maps", "6.10", partial(_by_fd, P.SK_MSG, A.SK_MSG_VERDICT)),
    "link:kprobe_session": Feature(
        "kprobe sessions: one program at entry and return", "6.10", partial(_kprobe_multi, A.TRACE_KPROBE_SESSION)
    ),
    "link:uprobe_session": Feature(
        "uprobe sessions: one program at entry and return", "6.13", partial(_uprobe_multi, A.TRACE_UPROBE_SESSION)
    ),
}

# Attach types for which loading a program says nothing, but a row of links does.
BY_LINK = {
    A.PERF_EVENT: "perf_event", A.STRUCT_OPS: "struct_ops", A.TRACE_KPROBE_MULTI: "kprobe_multi",
    A.TRACE_UPROBE_MULTI: "uprobe_multi", A.TRACE_KPROBE_SESSION: "kprobe_session",
    A.TRACE_UPROBE_SESSION: "uprobe_session", A.NETFILTER: "netfilter", A.TCX_INGRESS: "tcx", A.TCX_EGRESS: "tcx",
    A.NETKIT_PRIMARY: "netkit", A.NETKIT_PEER: "netkit",
}  # fmt: skip
HOOKS = {
    A.TRACE_FENTRY: "bpf_fentry_test1", A.TRACE_FEXIT: "bpf_fentry_test1", A.MODIFY_RETURN: "security_file_open",
    A.TRACE_ITER: "bpf_iter_task", A.LSM_MAC: "bpf_lsm_file_open", A.LSM_CGROUP: "bpf_lsm_file_open",
}  # fmt: skip


def _types() -> Iterator[tuple[A, P]]:
    """Attach types, each with a program type that has it."""
    found: dict[int, P] = {}
    for _, prog_type, attach_type, _ in SECTIONS:
        if attach_type or prog_type is P.CGROUP_SKB:
            found.setdefault(attach_type, prog_type)
    for attach_type in AttachType:
        yield attach_type, found.get(attach_type, P.UNSPEC)


def _attach(type: P, attach_type: A) -> bool:
    try:
        known = kernel_btf().enum_values("bpf_attach_type")
    except UnsupportedError:
        known = {}
    # Some program types take any number.
    if known and f"BPF_{attach_type.name}" not in known:
        return False
    if attach_type in BY_LINK:
        return LINK_TYPES[f"link:{BY_LINK[attach_type]}"].probe()
    options = loaded_for(type)
    if attach_type in HOOKS:
        options["btf_id"] = kernel_type(HOOKS[attach_type])
    options["attach_type"] = attach_type
    # Some of these must return 1.
    code = (mov(0, 1), EXIT) if type is P.CGROUP_SOCK_ADDR else EXIT_0
    return loads(type, *code, **options)


ATTACH_TYPES = {
    f"attach:{attach_type.name.lower()}": Feature(
        f"attach type {attach_type.name.lower()}", "", partial(_attach, prog_type, attach_type)
    )
    for attach_type, prog_type in _types()
}
