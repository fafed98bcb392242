"""The ways to be attached: the one table.

`Link.kind` is a row's name. A ladder tries rows from the best that the kernel may have down to the oldest.
"""

from __future__ import annotations

from typing import NamedTuple

from pybpfload.uapi import LinkType

__all__ = ["KINDS", "Kind", "kind_of_type"]


class Kind(NamedTuple):
    """One way.

    Attributes:
        type: what the kernel calls the link; None where there is none, only a file descriptor or an entry.
        slow: closing waits for the kernel's grace periods, so many are closed at the same time.
        title: for people.
    """

    type: LinkType | None
    slow: bool
    title: str


T = LinkType
KINDS: dict[str, Kind] = {
    "raw_tracepoint": Kind(T.RAW_TRACEPOINT, True, "BPF_RAW_TRACEPOINT_OPEN"),
    "tracing": Kind(T.TRACING, True, "a link to a function or tracepoint by BTF"),
    "perf_link": Kind(T.PERF_EVENT, True, "a link to a perf event"),
    "perf_ioctl": Kind(None, True, "a perf event that runs the program (ioctl)"),
    "tracefs": Kind(None, True, "a probe written into tracefs, run by a perf event"),
    "kprobe_multi": Kind(T.KPROBE_MULTI, True, "one link to many kernel functions"),
    "uprobe_multi": Kind(T.UPROBE_MULTI, True, "one link to many places of a file"),
    "iter_link": Kind(T.ITER, False, "an iterator"),
    "cgroup_link": Kind(T.CGROUP, False, "a link to a cgroup"),
    "netns_link": Kind(T.NETNS, False, "a link to a network namespace"),
    "xdp_link": Kind(T.XDP, False, "a link to a network interface, for XDP"),
    "tcx_link": Kind(T.TCX, False, "a link to a network interface, for tcx"),
    "netkit_link": Kind(T.NETKIT, False, "a link to a netkit device"),
    "netfilter_link": Kind(T.NETFILTER, False, "a link to a netfilter hook"),
    "sockmap_link": Kind(T.SOCKMAP, False, "a link to a socket map"),
    "struct_ops_link": Kind(T.STRUCT_OPS, False, "a link of a struct_ops map"),
    "prog_attach": Kind(None, False, "BPF_PROG_ATTACH"),
    "netlink": Kind(None, False, "a message to rtnetlink, as ip and tc send it"),
    "setsockopt": Kind(None, False, "an option of a socket"),
    "map_update": Kind(None, False, "a struct_ops map whose value is set"),
}


def kind_of_type(number: int) -> str:
    """The kind of a link that the kernel knows, by its type."""
    return next((name for name, kind in KINDS.items() if kind.type == number), f"link_type_{number}")
