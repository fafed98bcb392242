# SPDX-License-Identifier: MIT
"""What the record does not say, and /proc may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from tracer.model import Event
    from tracer.proc.table import ProcessTable


def enrich(processes: ProcessTable) -> Callable[[Event], Event]:
    """Sets `exe`. It has to see every exec and exit, so no filter by event kind may come before it."""

    def stage(event: Event) -> Event:
        fields, kind = event.fields, event.kind
        pid, start_ns = fields["pid"], fields["start_time"]
        if kind.ends:
            fields["exe"] = processes.ended(pid, start_ns)
        elif kind.image:
            fields["exe"] = processes.executed(pid, start_ns, fields["comm"], fields[kind.image])
        else:
            first_thread = fields["comm"] if fields["tid"] == pid else ""
            fields["exe"] = processes.executable(pid, start_ns, first_thread)
        return event

    return stage
