# SPDX-License-Identifier: MIT
"""What the user wants to see, made of the options.

What the kernel can filter is in `settings`. The rest is done here, in two steps: what is cheap and needs nothing
else comes first, and what needs to know more of an event, such as its container, comes last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Callable

from tracer.errors import TracerError, UsageError
from tracer.known import Known
from tracer.model import KINDS, Event
from tracer.pipeline.doubts import doubts
from tracer.pipeline.filters import Filter, only_cgroup
from tracer.pipeline.patterns import is_pattern, match_container, match_file, match_library, match_name
from tracer.proc import find
from tracer.proc.container import ContainerTable
from tracer.proc.reader import GoneError, HiddenError
from tracer.proc.target import pid_namespace
from tracer.settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.model import EventKind

_COLUMNS = {kind.name: {column.name for column in kind.columns} for kind in KINDS}


class Selection:
    """What to watch, and which events of it to show.

    Args:
        options: of the command line, as `tracer.cli` completes them.
        kinds: names of the kinds of events that the command is about; all if there are none.
        processes: whether --name means the processes of that name that run now, and not what is called so later.

        only_wire: whether of handshakes only those count that were seen on the wire.

    Attributes:
        settings: what the kernel can filter.
        roots: the processes that are watched; with all of them gone, there is nothing left to see.
        kinds: names of the kinds of events that can come out.
        doubts: filters that can match nothing, and why.

    Raises:
        UsageError: something that is named does not exist.
    """

    def __init__(self, options: Namespace, kinds: Iterable[str] = (), *, processes: bool = False,
                 only_wire: bool = False) -> None:  # fmt: skip
        self._options = options
        self.only_wire = only_wire
        if only_wire and options.library:
            raise UsageError(
                f"--library does nothing here: {options.command} shows the wire, which does not tell libraries apart",
                hint="for handshakes that a library's functions tell: monitor --library",
            )
        self.kinds = frozenset(kinds) or frozenset(kind.name for kind in KINDS if not kind.hidden)
        self.doubts: list[str] = []
        self._limit_kinds("file", options.file, lambda kind: bool(kind.file))
        self._limit_kinds("library", options.library, lambda kind: "library" in _COLUMNS[kind.name])
        if options.replay and (options.follow_children or options.cgroup):
            raise UsageError("--follow-children and --cgroup need processes that run: not with --replay")
        self._cgroups = [find.cgroup_directory(name) for name in options.cgroup]
        self._names = [match_name(name) for name in options.name]
        self.roots = tuple(dict.fromkeys(options.pid))
        if options.follow_children or (processes and not options.replay):
            self.roots = self._roots()
            self._names = []
        tree = self.roots if options.follow_children else ()
        self.settings = Settings(
            own_pid=os.getpid(),
            pid=self.roots[0] if len(self.roots) == 1 and not tree else 0,
            redact=not options.no_redact,
            tree=tree,
            name=options.name[0] if self._kernel_has_name() else "",
            uid=options.uid[0] if len(options.uid) == 1 else None,
            cgroup=self._cgroups[0] if len(self._cgroups) == 1 else "",
            pid_ns=pid_namespace(),
            token=getattr(options, "token_fs", ""),
            deep=getattr(options, "deep", False),
        )
        stages = self._of_processes()
        if stages or options.container:
            self.settings = self.settings._replace(asked=_asked(stages, options.container))
        self.doubts += doubts(options)

    def _limit_kinds(self, option: str, values: Sequence[str], fits: Callable[[EventKind], bool]) -> None:
        if values:
            left = frozenset(kind.name for kind in KINDS if kind.name in self.kinds and fits(kind))
            if not left:
                self.doubts.append(f"--{option} can match nothing here: no event that is left has a {option}")
            self.kinds = left

    def _roots(self) -> tuple[int, ...]:
        """The processes whose children are followed, those that run now."""
        options = self._options
        if not options.pid and not options.name:
            raise UsageError(f"{options.command}: which processes?", hint="name them with --pid or --name")
        found = set(options.pid)
        if options.name:
            matching = find.named(lambda name: any(match(name) for match in self._names))
            found = found & set(matching) if found else set(matching)
            if not found:
                raise TracerError(
                    f"no process that runs has the name {' or '.join(options.name)}", hint="ps -e lists those that run"
                )
        return tuple(sorted(found))

    def _kernel_has_name(self) -> bool:
        return len(self._names) == 1 and not is_pattern(self._options.name[0])

    # The stages.

    def early(self) -> list[Filter]:
        """What the record alone decides."""
        stages = self._of_processes()
        if self._options.file:
            stages.append(_only_files(self._options.file))
        return stages

    def _of_processes(self) -> list[Filter]:
        """What of it the kernel does not do by itself, as far as it is about processes."""
        stages: list[Filter] = []
        options, settings = self._options, self.settings
        if len(self.roots) > 1 and not settings.tree:
            stages.append(_one_of("pid", frozenset(self.roots)))
        if len(options.uid) > 1:
            stages.append(_one_of("uid", frozenset(options.uid)))
        if len(self._cgroups) > 1:
            stages.append(_any_of([only_cgroup(directory) for directory in self._cgroups]))
        if self._names and not settings.name:
            matches = self._names
            known: Known[str, bool] = Known(lambda name: any(match(name) for match in matches))
            stages.append(lambda event: event if known[event.fields["comm"]] else None)
        return stages

    def late(self) -> list[Filter]:
        """What needs to know more."""
        stages: list[Filter] = []
        kinds, options = self.kinds, self._options
        stages.append(lambda event: event if event.kind.name in kinds else None)
        if self.only_wire:
            stages.append(lambda event: event if event.fields.get("source") != "library" else None)
        if options.library:
            stages.append(_only_libraries(options.library))
        if options.container:
            stages.append(_only_containers(options.container))
        return stages

    def warn(self, say: Callable[[str], None]) -> None:
        """Say what can match nothing."""
        for doubt in self.doubts:
            say(doubt)


def _asked(stages: Sequence[Filter], containers: Sequence[str]) -> Callable[[dict[str, Any]], bool | None]:
    """Of two processes that one event tells of, which are meant; None: its container is not known any more."""
    table, in_container = ContainerTable(), _only_containers(containers)

    def asked(fields: dict[str, Any]) -> bool | None:
        event = Event(KINDS[0], fields)
        if not all(stage(event) for stage in stages):
            return False
        if not containers:
            return True
        try:
            found = table.look(fields["pid"], fields["start_time"], fields["cgroup"])
        except (GoneError, HiddenError):
            return None
        return in_container(Event(KINDS[0], {"container": found.id if found else None})) is not None

    return asked


def _one_of(field: str, values: frozenset[int]) -> Filter:
    return lambda event: event if event.fields[field] in values else None


def _any_of(filters: Sequence[Filter]) -> Filter:
    return lambda event: event if any(each(event) for each in filters) else None


def _only_files(patterns: Sequence[str]) -> Filter:
    """Drops opens of other files. What is about no file is left to later: it may tell who is who."""
    matches = [match_file(pattern) for pattern in patterns]
    known: Known[str, bool] = Known(lambda path: any(match(path) for match in matches), longest=256)

    def stage(event: Event) -> Event | None:
        field = event.kind.file
        if not field:
            return event
        fields = event.fields
        if known[fields[field]]:
            return event
        found = fields.get("file_path")
        return event if found is not None and known[found] else None

    return stage


def _only_libraries(patterns: Sequence[str]) -> Filter:
    matches = [match_library(pattern) for pattern in patterns]

    def stage(event: Event) -> Event | None:
        fields = event.fields
        path = fields.get(event.kind.library or "library") or ""
        short = fields.get("library_name") or ""
        return event if any(match(path, short) for match in matches) else None

    return stage


def _only_containers(patterns: Sequence[str]) -> Filter:
    matches = [match_container(pattern) for pattern in patterns]
    known: Known[str, bool] = Known(lambda name: any(match(name) for match in matches))

    def stage(event: Event) -> Event | None:
        container = event.fields.get("container")
        return event if container and known[container] else None

    return stage
