# SPDX-License-Identifier: MIT
"""What a probe is.

Most need no more than a name: all programs of their object are attached where their sections say. A probe
that finds its targets at run time has functions of its own, which get a `Context`: it lives as long as the
probe is loaded, and what is attached through it is closed with the rest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from pybpfload import BpfObject, Link, Map
    from tracer.log import Log
    from tracer.model import Event
    from tracer.settings import Settings


# The longest name that a thread can have.
NAME_SIZE = 15


def common_knobs(settings: Settings) -> dict[str, int]:
    """The `const volatile` variables that all probes have: the filters of bpf/include/filter.bpf.h."""
    # Of a longer name the kernel looks for the beginning, and user space drops the rest.
    name = os.fsencode(settings.name)[:NAME_SIZE].lower()
    low, high = int.from_bytes(name[:8], "little"), int.from_bytes(name[8:], "little")
    mask = (1 << 8 * len(name)) - 1
    return {
        "targ_tgid": settings.pid,
        "targ_self": settings.own_pid,
        "targ_tree": bool(settings.tree),
        "targ_cgroup": bool(settings.cgroup),
        "targ_has_uid": settings.uid is not None,
        "targ_uid": settings.uid or 0,
        "targ_name_low": low,
        "targ_name_high": high,
        "targ_name_mask_low": mask & (1 << 64) - 1,
        "targ_name_mask_high": mask >> 64,
    }


def always(settings: Settings) -> bool:  # noqa: ARG001  as the others
    """For a probe that no option turns off."""
    return True


def no_targets(maps: Mapping[str, Map]) -> None:
    """For a probe that has no tables to fill."""


def no_losses(context: Context) -> int:  # noqa: ARG001  as the others
    """For a probe whose losses are in the counters that all share."""
    return 0


class Context:
    """A probe that is loaded: what its own functions work with.

    Attributes:
        obj: its object in the kernel.
        settings: what the user asked for.
        log: for details and warnings.
        links: what it has attached so far; the manager closes them.
        state: whatever the probe wants to remember; None at first.
        detached: whether the programs are off for good: what comes now happened before, and nothing more is attached.
    """

    def __init__(self, obj: BpfObject, settings: Settings, log: Log) -> None:
        self.obj = obj
        self.settings = settings
        self.log = log
        self.links: list[Link] = []
        self.state: Any = None
        self.detached = False


class Probe(NamedTuple):
    """One BPF object and what it needs.

    Attributes:
        name: for messages; if it sends one kind of event, the name of that.
        knobs: values of the object's variables, set before it is loaded.
        targets: fills the object's maps, once it is loaded and before it is attached.
        attach: attaches what there is to attach at the start, by adding to `context.links`; all programs of the
            object if None. It may leave `links` empty and wait for events; BpfError and TracerError turn the probe off.
        wants: the kinds of events that `on_event` is called for, of whatever probe they come.
        on_event: is given each of these events before the pipeline is, in the order of their times. It may attach
            more by adding to `context.links`.
        takes: a kind of records that are no events yet: they come to `digest`, and nobody else sees them.
        digest: is given these, each time the ring was looked at, with the time since boot in nanoseconds; returns
            the events that they make. The third says that nothing more will come.
        wanted: whether what the user asked for takes this probe at all.
        sends: whether it sends events; if not, it has no ring buffer.
        several: the kinds of events that it sends, if they are not just one of its own name.
        losses: how many processes it could not follow so far.
        needs: the capabilities that it takes.
    """

    name: str
    knobs: Callable[[Settings], dict[str, int]] = common_knobs
    targets: Callable[[Mapping[str, Map]], None] = no_targets
    attach: Callable[[Context], None] | None = None
    wants: tuple[str, ...] = ()
    on_event: Callable[[Context, Event], None] | None = None
    takes: str = ""
    digest: Callable[[Context, Sequence[Event], int, bool], list[Event]] | None = None
    wanted: Callable[[Settings], bool] = always
    sends: bool = True
    several: tuple[str, ...] = ()
    losses: Callable[[Context], int] = no_losses
    needs: tuple[str, ...] = ("CAP_BPF", "CAP_PERFMON")

    @property
    def object_name(self) -> str:
        """The name of the object file, without its ending."""
        return f"{self.name}_trace"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of events that it sends."""
        return self.several or ((self.name,) if self.sends else ())
