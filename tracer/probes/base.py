# SPDX-License-Identifier: MIT
"""What a probe is.

Most need no more than a name: all programs of their object are attached where their sections say. A probe
that finds its targets at run time has functions of its own, which get a `Context`: it lives as long as the
probe is loaded, and what is attached through it is closed with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from pybpfload import BpfObject, Link, Map
    from tracer.log import Log
    from tracer.model import Event
    from tracer.settings import Settings


def common_knobs(settings: Settings) -> dict[str, int]:
    """The `const volatile` variables that all probes have."""
    return {"targ_tgid": settings.pid, "targ_self": settings.own_pid}


def no_targets(maps: Mapping[str, Map]) -> None:
    """For a probe that has no tables to fill."""


class Context:
    """A probe that is loaded: what its own functions work with.

    Attributes:
        obj: its object in the kernel.
        settings: what the user asked for.
        log: for details and warnings.
        links: what it has attached so far; the manager closes them.
        state: whatever the probe wants to remember; None at first.
    """

    def __init__(self, obj: BpfObject, settings: Settings, log: Log) -> None:
        self.obj = obj
        self.settings = settings
        self.log = log
        self.links: list[Link] = []
        self.state: Any = None


class Probe(NamedTuple):
    """One BPF object and what it needs.

    Attributes:
        name: for messages; the name of the kind of event that it sends.
        knobs: values of the object's variables, set before it is loaded.
        targets: fills the object's maps, once it is loaded and before it is attached.
        attach: attaches what there is to attach at the start, by adding to `context.links`; all programs of the
            object if None. It may leave `links` empty and wait for events; BpfError and TracerError turn the probe off.
        wants: the kinds of events that `on_event` is called for, of whatever probe they come.
        on_event: is given each of these events before the pipeline is, in the order of their times. It may attach
            more by adding to `context.links`.
    """

    name: str
    knobs: Callable[[Settings], dict[str, int]] = common_knobs
    targets: Callable[[Mapping[str, Map]], None] = no_targets
    attach: Callable[[Context], None] | None = None
    wants: tuple[str, ...] = ()
    on_event: Callable[[Context, Event], None] | None = None

    @property
    def object_name(self) -> str:
        """The name of the object file, without its ending."""
        return f"{self.name}_trace"
