# SPDX-License-Identifier: MIT
"""Where every event is: written down, or counted as lost, and where.

The kernel counts what it sends, for each kind of event: `struct ct_counts` in bpf/include/record.bpf.h. Once
nothing is on its way any more::

    sent = processed + undecodable + dropped

What gave no record at all is counted beside that: names that could not be read, and calls of programs that
the kernel left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pybpfload import Map, Program


class KindStats(NamedTuple):
    """What the kernel counts for one kind of event.

    Attributes:
        sent: records that were made.
        full: of these, lost because the ring buffer was full.
        unread: events without a record, because a name could not be read from the process's memory.
    """

    sent: int = 0
    full: int = 0
    unread: int = 0


class Stats(NamedTuple):
    """What has happened to events so far.

    Attributes:
        processed: received from the ring buffer and decoded.
        dropped: lost in the kernel, because the ring buffer was full.
        undecodable: received, but of a form that nobody knows.
        unread: not sent, because a name could not be read. Not all of these would have been of interest.
        skipped: calls of programs that the kernel left out, because the program was running on that CPU. Most are
            of no interest: the program for opens is called at each system call.
        not_followed: new processes of a tree that there was no room to remember.
        by_kind: what the kernel counts for each kind of event that there was.
    """

    processed: int = 0
    dropped: int = 0
    undecodable: int = 0
    unread: int = 0
    skipped: int = 0
    not_followed: int = 0
    by_kind: Mapping[str, KindStats] = {}

    @property
    def sent(self) -> int:
        """Records that the kernel made."""
        return sum(counts.sent for counts in self.by_kind.values())

    @property
    def missing(self) -> int:
        """How much the output may lack; each message about losses means more of it."""
        return self.dropped + self.undecodable + self.unread + self.skipped + self.not_followed


def read_kinds(counters: Map, kinds: Mapping[int, str]) -> dict[str, KindStats]:
    """The kernel's counters, of the kinds that there was any of.

    Args:
        counters: the map of that name.
        kinds: names by number.
    """
    found = {name: KindStats(*map(sum, zip(*counters[number]))) for number, name in kinds.items()}
    return {name: counts for name, counts in found.items() if any(counts)}


def skipped_calls(programs: Iterable[Program]) -> int:
    """How often the kernel did not call one of these. Kernel: 5.12; 0 on older ones, which skip none of ours."""
    return sum(program.stats().recursion_misses for program in programs)


def describe_losses(stats: Stats) -> str:
    """One line about the events that did not come through."""
    parts = []
    if stats.dropped:
        kinds = ", ".join(f"{counts.full} {kind}" for kind, counts in stats.by_kind.items() if counts.full)
        parts.append(f"lost {stats.dropped} events so far ({kinds}): the ring buffer was full")
    if stats.unread:
        kinds = ", ".join(f"{counts.unread} {kind}" for kind, counts in stats.by_kind.items() if counts.unread)
        parts.append(f"{stats.unread} names so far could not be read ({kinds})")
    if stats.undecodable:
        parts.append(f"{stats.undecodable} records so far have a form that is not known")
    if stats.skipped:
        parts.append(f"the kernel left out {stats.skipped} calls of probes so far")
    if stats.not_followed:
        parts.append(f"{stats.not_followed} new processes of the tree are not followed: there are too many")
    return "; ".join(parts)
