"""Attaching programs: one function a kind of target, and attach() by the program's SEC() name."""

from __future__ import annotations

from pybpfload.links.attach import attach
from pybpfload.links.base import Link, LinkSet, link_from_id, open_link
from pybpfload.links.cgroup import attach_cgroup
from pybpfload.links.event import attach_perf_event
from pybpfload.links.extend import function_id
from pybpfload.links.info import LinkInfo
from pybpfload.links.iter import IterLink, attach_iter
from pybpfload.links.kprobe import attach_kprobe, attach_kprobe_multi, attach_ksyscall
from pybpfload.links.ladder import attach_type_for
from pybpfload.links.net import attach_netkit, attach_tc, attach_xdp
from pybpfload.links.sock import attach_netfilter, attach_netns, attach_socket, attach_sockmap
from pybpfload.links.structops import StructOpsLink, attach_struct_ops
from pybpfload.links.tracing import attach_freplace, attach_raw_tracepoint, attach_tracepoint, attach_tracing
from pybpfload.links.uprobe import attach_uprobe, attach_uprobe_multi
from pybpfload.links.usdt import attach_usdt

__all__ = [
    "IterLink",
    "Link",
    "LinkInfo",
    "LinkSet",
    "StructOpsLink",
    "attach",
    "attach_cgroup",
    "attach_freplace",
    "attach_iter",
    "attach_kprobe",
    "attach_kprobe_multi",
    "attach_ksyscall",
    "attach_netfilter",
    "attach_netkit",
    "attach_netns",
    "attach_perf_event",
    "attach_raw_tracepoint",
    "attach_socket",
    "attach_sockmap",
    "attach_struct_ops",
    "attach_tc",
    "attach_tracepoint",
    "attach_tracing",
    "attach_type_for",
    "attach_uprobe",
    "attach_uprobe_multi",
    "attach_usdt",
    "attach_xdp",
    "function_id",
    "link_from_id",
    "open_link",
]
