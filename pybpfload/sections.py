"""What a SEC() name says about its program: the one table.

A row ending in ``+`` matches its name alone or followed by ``/`` and a target; the others match
exactly, as libbpf 1.x has it. With ``strict=False``, exact rows match as a prefix too, as in
cilium/ebpf, so that old objects with ``socket/2`` or ``xdp_drop`` are read.

Source: section_defs in libbpf; the reference page "program types" of docs.ebpf.io.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from pybpfload.closest import closest
from pybpfload.errors import SectionError, printable
from pybpfload.uapi import AttachType as A
from pybpfload.uapi import ProgType as P

__all__ = ["SECTIONS", "Flag", "Section", "find_section", "match_section"]


class Flag(enum.IntFlag):
    """What else a row says."""

    NONE = 0
    ATTACH_TYPE = 1  # the kernel wants expected_attach_type
    OPTIONAL = 2  # ... but not before 4.17
    SLEEPABLE = 4  # BPF_F_SLEEPABLE
    ATTACH_BTF = 8  # attach_btf_id is wanted at load
    XDP_FRAGS = 16  # BPF_F_XDP_HAS_FRAGS
    USDT = 32


class Section(NamedTuple):
    """One row, and what followed it in the name.

    Attributes:
        target: ``sched/sched_switch`` of ``tp/sched/sched_switch``; "" when there is none.
        autoload: False when the name began with ``?``.
    """

    name: str
    prog_type: P
    attach_type: int
    flags: Flag = Flag.NONE
    target: str = ""
    autoload: bool = True


NONE, ATTACH, OPTIONAL, SLEEPABLE, BTF, FRAGS, USDT = (
    Flag.NONE, Flag.ATTACH_TYPE, Flag.ATTACH_TYPE | Flag.OPTIONAL, Flag.SLEEPABLE,
    Flag.ATTACH_TYPE | Flag.ATTACH_BTF, Flag.XDP_FRAGS, Flag.USDT,
)  # fmt: skip

# name, program type, attach type, flags. A row of which "x.s" is the sleepable form says SLEEPABLE there.
SECTIONS: tuple[tuple[str, P, int, Flag], ...] = (
    ("socket", P.SOCKET_FILTER, 0, NONE),
    ("sk_reuseport/migrate", P.SK_REUSEPORT, A.SK_REUSEPORT_SELECT_OR_MIGRATE, ATTACH),
    ("sk_reuseport", P.SK_REUSEPORT, A.SK_REUSEPORT_SELECT, ATTACH),
    ("kprobe+", P.KPROBE, 0, NONE),
    ("uprobe+", P.KPROBE, 0, NONE),
    ("uprobe.s+", P.KPROBE, 0, SLEEPABLE),
    ("kretprobe+", P.KPROBE, 0, NONE),
    ("uretprobe+", P.KPROBE, 0, NONE),
    ("uretprobe.s+", P.KPROBE, 0, SLEEPABLE),
    ("kprobe.multi+", P.KPROBE, A.TRACE_KPROBE_MULTI, NONE),
    ("kretprobe.multi+", P.KPROBE, A.TRACE_KPROBE_MULTI, NONE),
    ("kprobe.session+", P.KPROBE, A.TRACE_KPROBE_SESSION, NONE),
    ("uprobe.multi+", P.KPROBE, A.TRACE_UPROBE_MULTI, NONE),
    ("uretprobe.multi+", P.KPROBE, A.TRACE_UPROBE_MULTI, NONE),
    ("uprobe.session+", P.KPROBE, A.TRACE_UPROBE_SESSION, NONE),
    ("uprobe.multi.s+", P.KPROBE, A.TRACE_UPROBE_MULTI, SLEEPABLE),
    ("uretprobe.multi.s+", P.KPROBE, A.TRACE_UPROBE_MULTI, SLEEPABLE),
    ("uprobe.session.s+", P.KPROBE, A.TRACE_UPROBE_SESSION, SLEEPABLE),
    ("ksyscall+", P.KPROBE, 0, NONE),
    ("kretsyscall+", P.KPROBE, 0, NONE),
    ("usdt+", P.KPROBE, 0, USDT),
    ("usdt.s+", P.KPROBE, 0, USDT | SLEEPABLE),
    ("tc/ingress", P.SCHED_CLS, A.TCX_INGRESS, NONE),
    ("tc/egress", P.SCHED_CLS, A.TCX_EGRESS, NONE),
    ("tcx/ingress", P.SCHED_CLS, A.TCX_INGRESS, NONE),
    ("tcx/egress", P.SCHED_CLS, A.TCX_EGRESS, NONE),
    ("tc", P.SCHED_CLS, 0, NONE),
    ("classifier", P.SCHED_CLS, 0, NONE),
    ("action", P.SCHED_ACT, 0, NONE),
    ("netkit/primary", P.SCHED_CLS, A.NETKIT_PRIMARY, NONE),
    ("netkit/peer", P.SCHED_CLS, A.NETKIT_PEER, NONE),
    ("tracepoint+", P.TRACEPOINT, 0, NONE),
    ("tracepoint.s+", P.TRACEPOINT, 0, SLEEPABLE),
    ("tp+", P.TRACEPOINT, 0, NONE),
    ("tp.s+", P.TRACEPOINT, 0, SLEEPABLE),
    ("raw_tracepoint+", P.RAW_TRACEPOINT, 0, NONE),
    ("raw_tracepoint.s+", P.RAW_TRACEPOINT, 0, SLEEPABLE),
    ("raw_tp+", P.RAW_TRACEPOINT, 0, NONE),
    ("raw_tp.s+", P.RAW_TRACEPOINT, 0, SLEEPABLE),
    ("raw_tracepoint.w+", P.RAW_TRACEPOINT_WRITABLE, 0, NONE),
    ("raw_tp.w+", P.RAW_TRACEPOINT_WRITABLE, 0, NONE),
    ("tp_btf+", P.TRACING, A.TRACE_RAW_TP, BTF),
    ("tp_btf.s+", P.TRACING, A.TRACE_RAW_TP, BTF | SLEEPABLE),
    ("fentry+", P.TRACING, A.TRACE_FENTRY, BTF),
    ("fentry.s+", P.TRACING, A.TRACE_FENTRY, BTF | SLEEPABLE),
    ("fmod_ret+", P.TRACING, A.MODIFY_RETURN, BTF),
    ("fmod_ret.s+", P.TRACING, A.MODIFY_RETURN, BTF | SLEEPABLE),
    ("fexit+", P.TRACING, A.TRACE_FEXIT, BTF),
    ("fexit.s+", P.TRACING, A.TRACE_FEXIT, BTF | SLEEPABLE),
    ("fsession+", P.TRACING, A.TRACE_FSESSION, BTF),
    ("fsession.s+", P.TRACING, A.TRACE_FSESSION, BTF | SLEEPABLE),
    ("fentry.multi+", P.TRACING, A.TRACE_FENTRY_MULTI, ATTACH),
    ("fentry.multi.s+", P.TRACING, A.TRACE_FENTRY_MULTI, ATTACH | SLEEPABLE),
    ("fexit.multi+", P.TRACING, A.TRACE_FEXIT_MULTI, ATTACH),
    ("fexit.multi.s+", P.TRACING, A.TRACE_FEXIT_MULTI, ATTACH | SLEEPABLE),
    ("fsession.multi+", P.TRACING, A.TRACE_FSESSION_MULTI, ATTACH),
    ("fsession.multi.s+", P.TRACING, A.TRACE_FSESSION_MULTI, ATTACH | SLEEPABLE),
    ("freplace+", P.EXT, 0, Flag.ATTACH_BTF),
    ("lsm+", P.LSM, A.LSM_MAC, BTF),
    ("lsm.s+", P.LSM, A.LSM_MAC, BTF | SLEEPABLE),
    ("lsm_cgroup+", P.LSM, A.LSM_CGROUP, BTF),
    ("iter+", P.TRACING, A.TRACE_ITER, BTF),
    ("iter.s+", P.TRACING, A.TRACE_ITER, BTF | SLEEPABLE),
    ("syscall", P.SYSCALL, 0, SLEEPABLE),
    ("xdp.frags/devmap", P.XDP, A.XDP_DEVMAP, FRAGS),
    ("xdp/devmap", P.XDP, A.XDP_DEVMAP, ATTACH),
    ("xdp.frags/cpumap", P.XDP, A.XDP_CPUMAP, FRAGS),
    ("xdp/cpumap", P.XDP, A.XDP_CPUMAP, ATTACH),
    ("xdp.frags", P.XDP, A.XDP, FRAGS),
    ("xdp", P.XDP, A.XDP, OPTIONAL),
    ("perf_event", P.PERF_EVENT, 0, NONE),
    ("lwt_in", P.LWT_IN, 0, NONE),
    ("lwt_out", P.LWT_OUT, 0, NONE),
    ("lwt_xmit", P.LWT_XMIT, 0, NONE),
    ("lwt_seg6local", P.LWT_SEG6LOCAL, 0, NONE),
    ("sockops", P.SOCK_OPS, A.CGROUP_SOCK_OPS, OPTIONAL),
    ("sk_skb/stream_parser", P.SK_SKB, A.SK_SKB_STREAM_PARSER, OPTIONAL),
    ("sk_skb/stream_verdict", P.SK_SKB, A.SK_SKB_STREAM_VERDICT, OPTIONAL),
    ("sk_skb/verdict", P.SK_SKB, A.SK_SKB_VERDICT, OPTIONAL),
    ("sk_skb", P.SK_SKB, 0, NONE),
    ("sk_msg", P.SK_MSG, A.SK_MSG_VERDICT, OPTIONAL),
    ("lirc_mode2", P.LIRC_MODE2, A.LIRC_MODE2, OPTIONAL),
    ("flow_dissector", P.FLOW_DISSECTOR, A.FLOW_DISSECTOR, OPTIONAL),
    ("cgroup_skb/ingress", P.CGROUP_SKB, A.CGROUP_INET_INGRESS, OPTIONAL),
    ("cgroup_skb/egress", P.CGROUP_SKB, A.CGROUP_INET_EGRESS, OPTIONAL),
    ("cgroup/skb", P.CGROUP_SKB, 0, NONE),
    ("cgroup/sock_create", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE, ATTACH),
    ("cgroup/sock_release", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_RELEASE, ATTACH),
    ("cgroup/sock", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE, OPTIONAL),
    ("cgroup/post_bind4", P.CGROUP_SOCK, A.CGROUP_INET4_POST_BIND, ATTACH),
    ("cgroup/post_bind6", P.CGROUP_SOCK, A.CGROUP_INET6_POST_BIND, ATTACH),
    ("cgroup/bind4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_BIND, ATTACH),
    ("cgroup/bind6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_BIND, ATTACH),
    ("cgroup/connect4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_CONNECT, ATTACH),
    ("cgroup/connect6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_CONNECT, ATTACH),
    ("cgroup/connect_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_CONNECT, ATTACH),
    ("cgroup/sendmsg4", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_SENDMSG, ATTACH),
    ("cgroup/sendmsg6", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_SENDMSG, ATTACH),
    ("cgroup/sendmsg_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_SENDMSG, ATTACH),
    ("cgroup/recvmsg4", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_RECVMSG, ATTACH),
    ("cgroup/recvmsg6", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_RECVMSG, ATTACH),
    ("cgroup/recvmsg_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_RECVMSG, ATTACH),
    ("cgroup/getpeername4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_GETPEERNAME, ATTACH),
    ("cgroup/getpeername6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_GETPEERNAME, ATTACH),
    ("cgroup/getpeername_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_GETPEERNAME, ATTACH),
    ("cgroup/getsockname4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_GETSOCKNAME, ATTACH),
    ("cgroup/getsockname6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_GETSOCKNAME, ATTACH),
    ("cgroup/getsockname_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_GETSOCKNAME, ATTACH),
    ("cgroup/sysctl", P.CGROUP_SYSCTL, A.CGROUP_SYSCTL, ATTACH),
    ("cgroup/getsockopt", P.CGROUP_SOCKOPT, A.CGROUP_GETSOCKOPT, ATTACH),
    ("cgroup/setsockopt", P.CGROUP_SOCKOPT, A.CGROUP_SETSOCKOPT, ATTACH),
    ("cgroup/dev", P.CGROUP_DEVICE, A.CGROUP_DEVICE, OPTIONAL),
    ("struct_ops+", P.STRUCT_OPS, 0, NONE),
    ("struct_ops.s+", P.STRUCT_OPS, 0, SLEEPABLE),
    ("sk_lookup", P.SK_LOOKUP, A.SK_LOOKUP, ATTACH),
    ("netfilter", P.NETFILTER, A.NETFILTER, NONE),
)

_EXACT: dict[str, tuple[str, P, int, Flag]] = {row[0].rstrip("+"): row for row in SECTIONS}


def match_section(name: str, *, strict: bool = True) -> Section:
    """What the name of an ELF section says.

    Raises:
        SectionError: no row matches; names the closest.
    """
    found = find_section(name, strict=strict)
    if found is None:
        close = closest(name.removeprefix("?"), _EXACT, 0.5)
        raise SectionError(
            f"section `{printable(name)}`: no program type has this name" + (f"; closest is `{close}`" if close else "")
        )
    return found


def find_section(name: str, *, strict: bool = True) -> Section | None:
    """As `match_section`, but None when no row matches."""
    bare = name.removeprefix("?")
    autoload = bare == name
    row = _EXACT.get(bare)
    if row is None:
        # A target may hold slashes of its own: the head is what stands before the first.
        head, _, target = bare.partition("/")
        row = _EXACT.get(head)
        if row is not None and row[0].endswith("+"):
            return Section(head, *row[1:], target, autoload)
        row = None
        if not strict:
            row = next((r for r in SECTIONS if not r[0].endswith("+") and bare.startswith(r[0])), None)
    return Section(row[0].rstrip("+"), *row[1:], "", autoload) if row else None
