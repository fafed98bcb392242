# SPDX-License-Identifier: MIT
"""What the record does not say, and /proc may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from tracer.catalog.libraries import soname_version
from tracer.model import KINDS
from tracer.proc.container import ContainerTable
from tracer.proc.libfile import LibraryFiles
from tracer.proc.pods import PodNames, PodTable

if TYPE_CHECKING:
    from tracer.model import Event, Fields
    from tracer.proc.table import ProcessTable


# How many processes are remembered here.
RECENT = 256

NO_NAMES = PodNames()

# Kinds of events after which a process is not what it was, or is not alone.
CHANGES = frozenset(kind.name for kind in KINDS if kind.ends or kind.image or kind.child)


def enrich(processes: ProcessTable) -> Callable[[Event], Event | None]:
    """Sets `exe` and `container`, and what is known of libraries; drops kinds that are only for us.

    It has to see every fork, exec and exit, so no filter by event kind may come before it.
    """
    containers, pods = ContainerTable(), PodTable()
    files = LibraryFiles()
    # What both tables said last: most events come from few processes, and need not ask again.
    recent: dict[tuple[int, int, int], tuple[str | None, ...]] = {}

    def stage(event: Event) -> Event | None:
        fields, kind = event.fields, event.kind
        pid, start_ns, cgroup = fields["pid"], fields["start_time"], fields["cgroup"]
        known = recent.get((pid, start_ns, cgroup))
        if known and kind.name not in CHANGES:
            (
                fields["container"],
                fields["pod"],
                fields["pod_name"],
                fields["container_name"],
                fields["exe"],
            ) = known
        else:
            ask(event)
        if kind.library and "inode" in fields:
            _describe_library(files, fields)
        return None if kind.hidden else event

    def ask(event: Event) -> None:
        fields, kind = event.fields, event.kind
        pid, start_ns, cgroup = fields["pid"], fields["start_time"], fields["cgroup"]
        container = containers.find(pid, start_ns, cgroup)
        fields["container"] = container.id if container else None
        fields["pod"] = container.pod or None if container else None
        names = pods.find(container.id, container.pod) if container and container.pod else NO_NAMES
        fields["pod_name"], fields["container_name"] = names.pod or None, names.container or None
        if kind.ends:
            fields["exe"] = processes.ended(pid, start_ns)
            containers.ended(pid, start_ns, cgroup)
        elif kind.image:
            fields["exe"] = processes.executed(pid, start_ns, fields["comm"], fields[kind.image])
        else:
            first_thread = fields["comm"] if fields["tid"] == pid else ""
            fields["exe"] = processes.executable(pid, start_ns, first_thread)
        if kind.child:
            child, child_start_ns = fields["child"], fields["child_start_time"]
            processes.forked(pid, start_ns, child, child_start_ns)
            containers.forked((pid, start_ns), (child, child_start_ns), cgroup)
        if kind.ends or kind.image or len(recent) >= RECENT:
            recent.clear()
        elif fields["exe"] is not None and processes.remembers and (not fields["pod"] or names.container):
            recent[pid, start_ns, cgroup] = (
                fields["container"],
                fields["pod"],
                fields["pod_name"],
                fields["container_name"],
                fields["exe"],
            )

    return stage


def _describe_library(files: LibraryFiles, fields: Fields) -> None:
    path = fields["path"]
    found = files.describe(fields["pid"], path, fields["device"], fields["inode"], fields["family"])
    fields["version"] = found.version or soname_version(path) or None
    fields["build_id"] = found.build_id or None
