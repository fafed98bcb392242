# SPDX-License-Identifier: MIT
"""What the record does not say, and /proc may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from tracer.catalog.libraries import soname_version
from tracer.proc.container import ContainerTable
from tracer.proc.libfile import LibraryFiles

if TYPE_CHECKING:
    from tracer.model import Event, Fields
    from tracer.proc.table import ProcessTable


def enrich(processes: ProcessTable) -> Callable[[Event], Event | None]:
    """Sets `exe` and `container`, and what is known of libraries; drops kinds that are only for us.

    It has to see every fork, exec and exit, so no filter by event kind may come before it.
    """
    containers = ContainerTable()
    files = LibraryFiles()

    def stage(event: Event) -> Event | None:
        fields, kind = event.fields, event.kind
        pid, start_ns, cgroup = fields["pid"], fields["start_time"], fields["cgroup"]
        container = containers.find(pid, start_ns, cgroup)
        fields["container"] = container.id if container else None
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
        elif "inode" in fields and kind.library:
            _describe_library(files, fields)
        return None if kind.hidden else event

    return stage


def _describe_library(files: LibraryFiles, fields: Fields) -> None:
    path = fields["path"]
    found = files.describe(fields["pid"], path, fields["device"], fields["inode"], fields["family"])
    fields["version"] = found.version or soname_version(path) or None
    fields["build_id"] = found.build_id or None
