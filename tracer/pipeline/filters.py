# SPDX-License-Identifier: MIT
"""Which events the user wants.

The kernel filters too, to save work. These are the reference: with them alone the output is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from tracer.model import Event


def only_pid(pid: int) -> Callable[[Event], Event | None]:
    """Keeps the events of one process."""

    def stage(event: Event) -> Event | None:
        return event if event.fields["pid"] == pid else None

    return stage


def not_own(pid: int) -> Callable[[Event], Event | None]:
    """Drops the events of the tracer itself."""

    def stage(event: Event) -> Event | None:
        return None if event.fields["pid"] == pid else event

    return stage
