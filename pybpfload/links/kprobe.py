"""Functions of the kernel: kprobe, kretprobe, ksyscall, and many at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from pybpfload._sys import bpf, perf, tracefs
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError, BpfError, UnsupportedError
from pybpfload.links import kallsyms
from pybpfload.links.base import Link, Undo, run_all
from pybpfload.links.event import attach_events, wants
from pybpfload.links.ladder import attach_type_of
from pybpfload.progs import Program
from pybpfload.uapi import AttachType

__all__ = ["attach_kprobe", "attach_kprobe_multi", "attach_ksyscall"]

RETURN = 1  # BPF_F_KPROBE_MULTI_RETURN
SESSIONS = (AttachType.TRACE_KPROBE_SESSION,)
PATTERN = set("*?[")


def attach_kprobe(
    program: Program,
    function: str = "",
    *,
    offset: int = 0,
    ret: bool | None = None,
    cookie: int = 0,
    kind: str | None = None,
) -> Link:
    """A function of the kernel.

    Args:
        function: its name; "" takes it from SEC(kprobe/FUNCTION).
        offset: in bytes from its first; must be 0 at returns.
        ret: at its return; None takes it from SEC(kretprobe...).
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program (5.15).
        kind: ``perf_link``, ``perf_ioctl`` or ``tracefs`` to take that way only.

    Raises:
        AttachError: there is no such function, or it cannot be traced; says which and what comes close.

    Kernel: 4.1, 2541517c32be; through perf events 4.17, e12f03d7031a.
    """
    if not function:
        function, offset = _from_section(program, offset)
    ret = program.spec.section.startswith("kret") if ret is None else ret
    target = f"{'kretprobe' if ret else 'kprobe'} {function}{f'+{offset:#x}' if offset else ''}"
    if attach_type_of(program) in (AttachType.TRACE_KPROBE_MULTI, AttachType.TRACE_UPROBE_MULTI):
        raise AttachError(program.name, target, f"SEC({program.spec.section!r}) says that it is no plain kprobe")
    return _probes(program, [(function, offset)], target, ret, [cookie], kind)


def _from_section(program: Program, offset: int) -> tuple[str, int]:
    name, _, plus = program.spec.target.partition("+")
    if not name:
        raise AttachError(program.name, f"SEC({program.spec.section!r})", "expected SEC(kprobe/FUNCTION)")
    return name, int(plus, 0) if plus else offset


def _probes(
    program: Program,
    places: Sequence[tuple[str, int]],
    target: str,
    ret: bool,
    cookies: Sequence[int],
    kind: str | None,
) -> Link:
    """A perf event for each function: the kernel's own, or from tracefs where it has none."""
    events: list[Fd] = []
    names: list[str] = []

    def undo() -> list[Undo]:
        return [lambda name=name: tracefs.remove_probe("kprobe", name) for name in names]  # type: ignore[misc]

    try:
        step = kind
        if kind != "tracefs":
            try:
                events += [perf.open_kprobe(*place, ret=ret) for place in places[:1]]
            except UnsupportedError:
                if kind is not None:
                    raise
                step = "tracefs"
        if step == "tracefs":
            for function, offset in places:
                names.append(tracefs.add_probe("kprobe", f"{function}+{offset}", ret=ret))
                number = tracefs.tracepoint_id(tracefs.GROUP, names[-1])
                events.append(perf.open_trace_event(number, target))
        else:
            events += [perf.open_kprobe(*place, ret=ret) for place in places[1:]]
    except BaseException as cause:
        run_all([*[event.close for event in events], *undo()])
        if isinstance(cause, (BpfError, OSError)):
            raise AttachError(program.name, target, _told(cause, [f for f, _ in places])) from cause
        raise
    if step == "tracefs":
        return attach_events(program, events, target, cookies, shown="tracefs", undo=undo())
    return attach_events(program, events, target, cookies, kind=kind)


def _told(cause: Exception, functions: Sequence[str]) -> str:
    """The cause, and what kallsyms adds to it."""
    number = getattr(cause, "errno", None)
    why = kallsyms.explain(functions) if number in (errno.ENOENT, errno.EINVAL, errno.ESRCH, errno.EOPNOTSUPP) else ""
    return f"{cause}; {why}" if why else str(cause)


def attach_ksyscall(
    program: Program, name: str = "", *, ret: bool | None = None, cookie: int = 0, kind: str | None = None
) -> Link:
    """The kernel's function of a system call, whatever this architecture calls it.

    Args:
        name: of the system call, ``read``; "" takes it from SEC(ksyscall/NAME).
        ret: at its return; None takes it from SEC(kretsyscall/NAME).
        cookie, kind: as those of attach_kprobe().

    Raises:
        AttachError: there is no such system call, or its function cannot be traced.

    Kernel: as attach_kprobe(), 4.1.
    """
    name = name or program.spec.target
    ret = program.spec.section.startswith("kret") if ret is None else ret
    try:
        function = kallsyms.syscall_function(name)
    except (BpfError, OSError) as cause:
        raise AttachError(program.name, f"system call {name}", cause) from cause
    return attach_kprobe(program, function, ret=ret, cookie=cookie, kind=kind)


@uninterrupted
def attach_kprobe_multi(
    program: Program,
    functions: str | Sequence[str] = (),
    *,
    ret: bool | None = None,
    cookies: Sequence[int] = (),
    kind: str | None = None,
) -> Link:
    """Many functions of the kernel by one link; by a perf event each where the kernel has no such links.

    Args:
        functions: their names, or a shell pattern (``tcp_*``); none takes it from SEC(kprobe.multi/PATTERN).
        ret: at their returns; None takes it from SEC(kretprobe.multi...).
        cookies: one for each name, 64 bits each.
        kind: ``kprobe_multi``, or ``perf_link``, ``perf_ioctl``, ``tracefs`` to take that way only.

    Raises:
        AttachError: one of the functions cannot be traced.

    Kernel: 5.18, 0dcac2725406; sessions 6.10, 535a3692ba72.
    """
    wanted = functions or program.spec.target
    section = program.spec.section
    ret = section.startswith("kret") if ret is None else ret
    target = f"{section.partition('/')[0]} {wanted if isinstance(wanted, str) else ', '.join(wanted[:5])}"
    try:
        names, addresses = _expanded(wanted)
    except (BpfError, OSError) as cause:
        raise AttachError(program.name, target, cause) from cause
    if cookies and len(cookies) != len(names):
        raise AttachError(program.name, target, f"{len(cookies)} cookies for {len(names)} functions")
    attach_type = attach_type_of(program)
    if attach_type == 0 or not wants(kind, "kprobe_multi"):
        return _probes(program, [(name, 0) for name in names], target, ret, cookies, kind)
    result = sys_links.create_kprobe_multi(
        program.fileno(),
        names=[] if addresses else [os.fsencode(name) for name in names],
        addresses=addresses,
        cookies=cookies,
        flags=RETURN if ret and attach_type not in SESSIONS else 0,
        attach_type=attach_type,
    )
    if result < 0:
        refused = bpf.error_of(-result, "BPF_LINK_CREATE kprobe_multi")
        raise AttachError(program.name, target, _told(refused, names)) from refused
    return Link(program.name, "kprobe_multi", target, [Fd(result, f"link of {program.name}")])


def _expanded(wanted: str | Sequence[str]) -> tuple[list[str], list[int]]:
    if not wanted:
        raise UnsupportedError("function without a name: expected SEC(kprobe.multi/PATTERN)")
    if not isinstance(wanted, str):
        return list(wanted), []
    return kallsyms.expand(wanted) if PATTERN & set(wanted) else ([wanted], [])
