# SPDX-License-Identifier: MIT
"""What a probe is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Callable, NamedTuple

if TYPE_CHECKING:
    from pybpfload import Map
    from tracer.settings import Settings


def common_knobs(settings: Settings) -> dict[str, int]:
    """The `const volatile` variables that all probes have."""
    return {"targ_tgid": settings.pid, "targ_self": settings.own_pid}


def no_targets(maps: Mapping[str, Map]) -> None:
    """For a probe that has no tables to fill."""


class Probe(NamedTuple):
    """One BPF object and what it needs.

    Attributes:
        name: for messages; the name of the kind of event that it sends.
        knobs: values of the object's variables, set before it is loaded.
        targets: fills the object's maps, once it is loaded and before it is attached.
    """

    name: str
    knobs: Callable[[Settings], dict[str, int]] = common_knobs
    targets: Callable[[Mapping[str, Map]], None] = no_targets

    @property
    def object_name(self) -> str:
        """The name of the object file, without its ending."""
        return f"{self.name}_trace"
