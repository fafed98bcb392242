# SPDX-License-Identifier: MIT
"""Probes that are in the kernel, and those that are not, and why."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pybpfload
from pybpfload.errors import BpfError, ObjectError, PrivilegeError, UnsupportedError, VerifierError
from tracer import objects
from tracer.errors import KernelError, LoadError, NoPrivilegeError, TracerError

if TYPE_CHECKING:
    from pybpfload import BpfObject, Link, Map, ObjectSpec
    from tracer.model import Event
    from tracer.probes import Probe
    from tracer.probes.base import Context
    from tracer.settings import Settings

# Threads that close links.
CLOSERS = 16


# The map with the processes of a tree, and how many there is room for.
TRACED, TREE_SIZE = "traced", 32768


def load_spec(spec: ObjectSpec, shared: dict[str, Map], settings: Settings) -> BpfObject:
    """The object in the kernel, with maps that it shares with others.

    Raises:
        BpfError: the kernel refused.
        TracerError: the token cannot be had.
    """
    try:
        return pybpfload.load(spec, maps=shared, kernel_btf=pybpfload.kernel_btf(), token=settings.token or None)
    except BpfError:
        raise
    except OSError as error:
        raise TracerError(f"--token-fs {settings.token}: {error.strerror}") from error


def read_spec(probe: Probe, settings: Settings) -> ObjectSpec:
    """The object of a probe, with its knobs set.

    Raises:
        LoadError: it has no such knobs or maps.
    """
    spec = pybpfload.read_object(objects.read(probe.object_name), name=probe.object_name)
    try:
        for knob, value in probe.knobs(settings).items():
            spec.variables[knob] = value
        if settings.tree:
            spec.maps[TRACED].max_entries = TREE_SIZE
    except KeyError as error:
        raise LoadError(f"object {spec.name} is not that of this probe: {error.args[0]}") from error
    return spec


class Skipped(NamedTuple):
    """A probe that is not on, and why."""

    probe: str
    reason: str
    cause: Exception


class ProbeState(NamedTuple):
    """How a probe is doing, for `doctor`.

    Attributes:
        ways: how its programs are attached, with how many links of each way: names as in docs/links.md.
        reason: why it is off, or "".
        remedy: what would help, or "".
        needs: the capabilities that it takes.
    """

    probe: str
    on: bool
    ways: dict[str, int]
    reason: str
    remedy: str
    needs: tuple[str, ...]


class Loaded:
    """A probe in the kernel."""

    def __init__(self, probe: Probe, context: Context) -> None:
        self.probe = probe
        self.context = context
        self.on = False

    @property
    def links(self) -> list[Link]:
        """What it has attached."""
        return self.context.links

    def attach(self) -> None:
        """Attach what is to be attached at the start."""
        if self.probe.attach:
            self.probe.attach(self.context)
        else:
            for program in self.context.obj.programs.values():
                self.links.append(pybpfload.attach(program))
        self.on = True

    def tell(self, event: Event) -> None:
        """Let the probe know of an event."""
        if self.probe.on_event:
            self.probe.on_event(self.context, event)

    def digest(self, events: list[Event]) -> list[Event]:
        """The events, with what the probe makes of its own records in their place."""
        kind, digest = self.probe.takes, self.probe.digest
        if not digest or all(event.kind.name != kind for event in events):
            return events
        made: list[Event] = []
        for event in events:
            made += digest(self.context, event) if event.kind.name == kind else [event]
        return made

    def due(self, now_ns: int, *, last: bool) -> list[Event]:
        """What the probe has waited with for long enough."""
        return self.probe.due(self.context, now_ns, last) if self.probe.due else []


def states_of(probes: Sequence[Probe], loaded: Sequence[Loaded], skipped: Sequence[Skipped]) -> list[ProbeState]:
    """How each probe is doing, in their order."""
    on = {each.probe.name: dict(Counter(link.kind for link in each.links)) for each in loaded if each.on}
    off = {each.probe: each for each in skipped}
    return [
        ProbeState(
            probe.name,
            probe.name in on,
            on.get(probe.name, {}),
            off[probe.name].reason if probe.name in off else "",
            remedy_for(off[probe.name].cause, probe.needs) if probe.name in off else "",
            probe.needs,
        )
        for probe in probes
    ]


def remedy_for(cause: Exception, needs: Sequence[str]) -> str:
    """What would turn a probe on that is off for this cause, as far as one can tell."""
    hint = getattr(cause, "hint", "")
    if hint:
        return str(hint)
    # What cannot be attached says why in the error that it comes from.
    if isinstance(cause, PrivilegeError) or isinstance(cause.__cause__, PrivilegeError):
        return f"run as root, or with {', '.join(needs)}; look for seccomp (containers) and kernel lockdown"
    if isinstance(cause, UnsupportedError):
        return "use a newer kernel, or one with the option that is named"
    if isinstance(cause, VerifierError):
        return "report it, with the output of --verbose and `uname -a`"
    if isinstance(cause, (ObjectError, LoadError)):
        return "install crypto-tracer again"
    return ""


def why_none(skipped: Sequence[Skipped], verb: str) -> TracerError:
    """The error that says best why no probe is on."""
    causes = [each.cause for each in skipped]
    message = f"cannot {verb} any probe"
    if causes and all(isinstance(cause, PrivilegeError) for cause in causes):
        return NoPrivilegeError(
            f"{message}: the kernel refuses, although this process has the capabilities",
            hint="look for a seccomp filter (containers have one), kernel lockdown or a security module",
        )
    if causes and all(isinstance(cause, (UnsupportedError, KernelError)) for cause in causes):
        return KernelError(f"{message}: this kernel is too old or lacks an option")
    return LoadError(f"{message}: see the warnings above")


def close_links(loaded: Sequence[Loaded]) -> None:
    """Close links at the same time: the kernel lets each wait for its grace periods.

    The threads are daemons: one that hangs in the kernel does not hold up the end of the program.
    """
    left = deque((link, each.context.log) for each in loaded for link in each.links)
    for each in loaded:
        each.on = False

    def close() -> None:
        while left:
            try:
                link, log = left.popleft()
            except IndexError:
                return
            try:
                link.close()
            except BpfError as error:
                log.detail(f"clean-up: {error}")

    workers = [threading.Thread(target=close, name="detach", daemon=True) for _ in range(min(CLOSERS, len(left)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for each in loaded:
        each.links.clear()


def fill_cgroup(cgroups: Map, directory: str) -> None:
    """Let programs know the control group that the user named.

    Raises:
        TracerError: it is none.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            cgroups[0] = fd
        finally:
            os.close(fd)
    except (BpfError, OSError) as error:
        raise TracerError(
            f"cgroup {directory}: {error}", hint="name a directory below a mount of cgroup2: findmnt -t cgroup2"
        ) from error
