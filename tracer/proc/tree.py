# SPDX-License-Identifier: MIT
"""Who descends from whom."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.proc import reader


def descendants(roots: Iterable[int]) -> set[int]:
    """The ids of these processes and of all that descend from them, as far as they are running now."""
    children: dict[int, list[int]] = {}
    for pid in reader.running():
        try:
            children.setdefault(reader.parent(pid), []).append(pid)
        except (reader.GoneError, reader.HiddenError):
            continue
    found: set[int] = set()
    left = list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found
