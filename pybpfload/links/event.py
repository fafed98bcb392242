"""Programs on perf events: the steps that tracepoints, probes and sampling have in common."""

from __future__ import annotations

from collections.abc import Sequence
from errno import ENODEV
from typing import Callable

from pybpfload._sys import bpf, perf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError
from pybpfload.features import has
from pybpfload.links.base import Link, run_all
from pybpfload.maps import possible_cpus
from pybpfload.progs import Program
from pybpfload.uapi import AttachType, PerfType

__all__ = ["attach_event", "attach_events", "attach_perf_event", "wants"]


def wants(kind: str | None, step: str) -> bool:
    """Whether a ladder may take a step: any, or only the one that the caller asks for."""
    return kind is None or kind == step


def attach_event(program: Program, event: Fd, target: str, cookie: int = 0, *, kind: str | None = None) -> Link:
    """A perf event, which the link then owns."""
    return attach_events(program, [event], target, [cookie], kind=kind)


@uninterrupted
def attach_events(
    program: Program,
    events: Sequence[Fd],
    target: str,
    cookies: Sequence[int] = (),
    *,
    kind: str | None = None,
    shown: str | None = None,
    undo: Sequence[Callable[[], None]] = (),
) -> Link:
    """Perf events, which the link then owns: by BPF links, or by ioctl where the kernel has none.

    Args:
        cookies: one for each event, or none.
        kind: ``perf_link`` or ``perf_ioctl`` to take that way only.
        shown: the link's kind, where these events are a step of another ladder.
        undo: for the link, or for now if this fails.

    Kernel: links and cookies 5.15, b89fbfbb854c.
    """
    links: list[Fd] = []
    try:
        by_link = wants(kind, "perf_link") and (kind is not None or has("perf_link"))
        if not by_link and any(cookies):
            raise AttachError(program.name, target, "this kernel has no cookies for perf events (they came with 5.15)")
        for i, event in enumerate(events):
            if by_link:
                cookie = cookies[i] if cookies else 0
                result = sys_links.create_perf(program.fileno(), event.fileno(), cookie, AttachType.PERF_EVENT)
                if result < 0:
                    raise bpf.error_of(-result, "BPF_LINK_CREATE perf event")
                links.append(Fd(result, f"link of {program.name}"))
            else:
                perf.set_bpf(event.fileno(), program.fileno())
            perf.enable(event.fileno())
    except BaseException as cause:
        run_all([*[x.close for x in [*links, *events]], *undo])
        if isinstance(cause, OSError):
            raise AttachError(program.name, target, cause) from cause
        raise
    return Link(
        program.name, shown or ("perf_link" if by_link else "perf_ioctl"), target, links, held=events, undo=undo
    )


def attach_perf_event(
    program: Program,
    type: int = PerfType.SOFTWARE,
    config: int = 0,
    *,
    period: int = 0,
    frequency: int = 99,
    pid: int = -1,
    cpu: int = -1,
    cookie: int = 0,
    kind: str | None = None,
) -> Link:
    """Samples of a perf event: the program runs at each. The default is a look at each CPU 99 times a second.

    Args:
        type: of the event; the default is software's.
        config: which of that type; 0 is the CPU clock.
        period: a sample each so many events.
        frequency: about so many samples a second, if there is no period.
        pid: one process (0: this one); -1 for all.
        cpu: one CPU; -1 for all of them, or wherever `pid` runs.
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program (5.15).
        kind: ``perf_link`` or ``perf_ioctl`` to take that way only.

    Raises:
        AttachError: there is no such event, or no privilege for it.

    Kernel: 4.9, 0515e5999a46; links 5.15, b89fbfbb854c. All processes need CAP_PERFMON.
    """
    target = f"perf event {type}/{config} {'every ' + str(period) if period else f'{frequency} Hz'}"
    target += f" pid {pid}" if pid >= 0 else ""
    events: list[Fd] = []
    try:
        for one in [cpu] if pid >= 0 or cpu >= 0 else range(possible_cpus()):
            try:
                events.append(
                    perf.open_event(type, config, period=period, frequency=frequency, pid=pid, cpu=one, what=target)
                )
            except OSError as error:
                if cpu < 0 and pid < 0 and error.errno == ENODEV and one:
                    continue  # offline
                raise
    except BaseException as cause:
        run_all([event.close for event in events])
        if isinstance(cause, OSError):
            raise AttachError(program.name, target, cause) from cause
        raise
    return attach_events(program, events, target, [cookie] * len(events), kind=kind)
