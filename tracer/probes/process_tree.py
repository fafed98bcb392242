# SPDX-License-Identifier: MIT
"""Follows the processes of a tree, for the filters in the kernel: children are in it from their first moment.

It sends no events, and is there only if the user wants a tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pybpfload
from tracer.probes.base import Probe
from tracer.proc.tree import descendants

if TYPE_CHECKING:
    from tracer.probes.base import Context
    from tracer.settings import Settings


def wanted(settings: Settings) -> bool:
    """Whether there is a tree to follow."""
    return bool(settings.tree)


def no_knobs(settings: Settings) -> dict[str, int]:  # noqa: ARG001  as the others
    """It looks at every process."""
    return {}


def attach(context: Context) -> None:
    """First the hooks, then the processes that are there: one that starts in between is found by either."""
    for program in context.obj.programs.values():
        context.links.append(pybpfload.attach(program))
    traced = context.obj.maps["traced"]
    known: set[int] = set()
    while True:
        new = descendants(context.settings.tree) - known
        if not new:
            return
        for pid in new:
            traced[pid] = 1
        known |= new


def losses(context: Context) -> int:
    """Children that found no room in the map."""
    count = context.obj.variables["not_followed"]
    assert isinstance(count, int)
    return count


PROCESS_TREE = Probe("process_tree", knobs=no_knobs, attach=attach, wanted=wanted, sends=False, losses=losses)
