"""From a program's SEC() name to the function that attaches it."""

from __future__ import annotations

from functools import partial
from typing import Callable

from pybpfload.errors import AttachError
from pybpfload.links.base import Link
from pybpfload.links.iter import attach_iter
from pybpfload.links.kprobe import attach_kprobe, attach_kprobe_multi, attach_ksyscall
from pybpfload.links.sock import attach_netns
from pybpfload.links.tracing import attach_freplace, attach_raw_tracepoint, attach_tracepoint, attach_tracing
from pybpfload.links.uprobe import attach_uprobe, attach_uprobe_multi
from pybpfload.links.usdt import attach_usdt
from pybpfload.progs import Program

__all__ = ["ATTACH", "attach"]

Attach = Callable[[Program, int], Link]


def _raw(program: Program, cookie: int) -> Link:
    return attach_raw_tracepoint(program, program.spec.target, cookie)


def _tracepoint(program: Program, cookie: int) -> Link:
    category, slash, name = program.spec.target.partition("/")
    if not slash:
        raise AttachError(program.name, f"tracepoint {category}", "expected SEC(tracepoint/CATEGORY/NAME)")
    return attach_tracepoint(program, category, name, cookie)


def _with_cookie(function: Callable[..., Link]) -> Attach:
    return lambda program, cookie: function(program, cookie=cookie)


def _same_cookie(function: Callable[..., Link]) -> Attach:
    """Those take a cookie for each place, of which the name may say only one."""
    return lambda program, cookie: function(program, cookies=[cookie] if cookie else [])


def _without_cookie(function: Callable[..., Link], program: Program, cookie: int) -> Link:
    if cookie:
        raise AttachError(program.name, f"SEC({program.spec.section!r})", "this kind has no cookies")
    return function(program)


_FUNCTIONS: dict[Attach, tuple[str, ...]] = {
    attach_tracing: ("tp_btf", "fentry", "fexit", "fmod_ret", "fsession", "lsm"),
    _with_cookie(attach_freplace): ("freplace",),
    _raw: ("raw_tp", "raw_tracepoint", "raw_tp.w", "raw_tracepoint.w"),
    _tracepoint: ("tp", "tracepoint"),
    _with_cookie(attach_kprobe): ("kprobe", "kretprobe"),
    _same_cookie(attach_kprobe_multi): ("kprobe.multi", "kretprobe.multi", "kprobe.session"),
    _with_cookie(attach_ksyscall): ("ksyscall", "kretsyscall"),
    _with_cookie(attach_uprobe): ("uprobe", "uretprobe"),
    _same_cookie(attach_uprobe_multi): ("uprobe.multi", "uretprobe.multi", "uprobe.session"),
    _with_cookie(attach_usdt): ("usdt",),
    partial(_without_cookie, attach_iter): ("iter",),
    partial(_without_cookie, attach_netns): ("sk_lookup", "flow_dissector"),
}
# By the section's head, without ".s".
ATTACH: dict[str, Attach] = {head: function for function, heads in _FUNCTIONS.items() for head in heads}

# Those whose name does not say what to attach to, and what does it instead.
EXPLICIT = {
    "xdp": "attach_xdp(program, DEVICE)",
    "xdp.frags": "attach_xdp(program, DEVICE)",
    "tc": "attach_tc(program, DEVICE, DIRECTION)",
    "tcx": "attach_tc(program, DEVICE)",
    "classifier": "attach_tc(program, DEVICE, DIRECTION)",
    "netkit": "attach_netkit(program, DEVICE)",
    "netfilter": "attach_netfilter(program, FAMILY, HOOK, priority=)",
    "socket": "attach_socket(program, SOCKET)",
    "sk_reuseport": "attach_socket(program, SOCKET)",
    "sk_skb": "attach_sockmap(program, MAP)",
    "sk_msg": "attach_sockmap(program, MAP)",
    "cgroup": "attach_cgroup(program, DIRECTORY)",
    "cgroup_skb": "attach_cgroup(program, DIRECTORY)",
    "sockops": "attach_cgroup(program, DIRECTORY)",
    "lsm_cgroup": "attach_cgroup(program, DIRECTORY)",
    "perf_event": "attach_perf_event(program)",
    "struct_ops": "BpfObject.attach_struct_ops(MAP)",
    "syscall": "nothing: it is run, not attached",
}


def attach(program: Program, *, cookie: int = 0) -> Link:
    """Attach a program to what its SEC() name says.

    Raises:
        AttachError: the name does not say enough (the message names the function that takes the rest), or
            the kernel refused.
    """
    head = program.spec.section.partition("/")[0].removesuffix(".s")
    function = ATTACH.get(head)
    if function is None:
        instead = EXPLICIT.get(head, "")
        raise AttachError(
            program.name,
            f"SEC({program.spec.section!r})",
            "this kind cannot be attached by its name" + (f"; expected {instead}" if instead else ""),
        )
    return function(program, cookie)
