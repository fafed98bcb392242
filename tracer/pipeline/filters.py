# SPDX-License-Identifier: MIT
"""Which events the user wants.

The kernel filters too, to save work: bpf/include/filter.bpf.h. These are the reference: with them alone the
output is the same, as tests/e2e/test_filters.py shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from tracer.model import Event
    from tracer.settings import Settings

Filter = Callable[["Event"], "Event | None"]

_SMALL = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def small_letters(text: str) -> str:
    """A to Z made small, and nothing else: in the kernel a name has bytes, not letters."""
    return text.translate(_SMALL)


def only_pid(pid: int) -> Filter:
    """Keeps the events of one process."""

    def stage(event: Event) -> Event | None:
        return event if event.fields["pid"] == pid else None

    return stage


def not_own(pid: int) -> Filter:
    """Drops the events of the tracer itself."""

    def stage(event: Event) -> Event | None:
        return None if event.fields["pid"] == pid else event

    return stage


def only_uid(uid: int) -> Filter:
    """Keeps what one user did."""

    def stage(event: Event) -> Event | None:
        return event if event.fields["uid"] == uid else None

    return stage


def only_name(name: str) -> Filter:
    """Keeps what threads did that have this in their name."""
    wanted = small_letters(name)

    def stage(event: Event) -> Event | None:
        return event if wanted in small_letters(event.fields["comm"]) else None

    return stage


def only_tree(pids: Iterable[int]) -> Filter:
    """Keeps the events of processes and of what they start from now on. It has to see every fork and exit.

    Args:
        pids: the processes of the tree that there are already.
    """
    tree = set(pids)

    def stage(event: Event) -> Event | None:
        fields = event.fields
        pid = fields["pid"]
        if pid not in tree:
            return None
        if event.kind.child:
            tree.add(fields["child"])
        elif event.kind.ends:
            tree.discard(pid)
        return event

    return stage


def cgroups_below(directory: str) -> set[int]:
    """Ids of a cgroup and of all below it: the inode numbers of their directories."""
    found = set()
    for path, _, _ in os.walk(directory):
        try:
            found.add(os.stat(path).st_ino)
        except OSError:
            continue  # it has been removed
    return found


def only_cgroup(directory: str) -> Filter:
    """Keeps what runs in a cgroup or below it."""
    inside = cgroups_below(directory)
    outside: set[int] = set()

    def stage(event: Event) -> Event | None:
        cgroup = event.fields["cgroup"]
        if cgroup not in inside and cgroup not in outside:
            # It is new. Ids are not used again.
            inside.update(cgroups_below(directory))
            if cgroup not in inside:
                outside.add(cgroup)
        return event if cgroup in inside else None

    return stage


def filters(settings: Settings, tree: Iterable[int] = ()) -> list[Filter]:
    """All that the user asked for, the cheapest first, but for that which has to see every event.

    Args:
        tree: the processes of `settings.tree` and their descendants.
    """
    found = [only_tree(tree)] if settings.tree else []
    if settings.pid != settings.own_pid:
        found.append(only_pid(settings.pid) if settings.pid else not_own(settings.own_pid))
    if settings.uid is not None:
        found.append(only_uid(settings.uid))
    if settings.cgroup:
        found.append(only_cgroup(settings.cgroup))
    if settings.name:
        found.append(only_name(settings.name))
    return found
