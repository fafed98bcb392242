# SPDX-License-Identifier: MIT
"""What happens to an event between the kernel and the output.

A stage is a function from an event to that event, changed or not, or to None, which drops it. The list
in `build_pipeline` is all there is, in the order in which it runs: what drops events comes first, and
redaction comes before anything that stores or shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Callable, Optional

from tracer.model import Event
from tracer.pipeline.classify import classify
from tracer.pipeline.enrich import enrich
from tracer.pipeline.filters import filters
from tracer.pipeline.redact import hide_words, redact
from tracer.pipeline.select import Selection
from tracer.proc.table import ProcessTable
from tracer.settings import Settings

Stage = Callable[[Event], Optional[Event]]
Stages = Sequence[Stage]


def build_pipeline(
    settings: Settings,
    processes: ProcessTable,
    private: dict[str, tuple[tuple[str, str], ...]],
    selection: Selection | None = None,
    words: Sequence[str] = (),
) -> Stages:
    """The stages for what the user asked for.

    Args:
        private: which fields of each kind redaction has to look at, and how.
        selection: what else the user asked for.
        words: what is hidden wherever it stands.
    """
    # Who belongs to a tree or a cgroup may have changed since: that is left to the kernel, which knew.
    stages: list[Stage] = [*filters(settings._replace(tree=(), cgroup=""))]
    if selection:
        stages += selection.early()
    stages.append(classify)
    stages.append(enrich(processes))
    if selection:
        stages += selection.late()
    if settings.redact:
        stages.append(redact(private))
        if words:
            stages.append(hide_words(words))
    return stages


def build_known(
    settings: Settings,
    private: dict[str, tuple[tuple[str, str], ...]],
    selection: Selection,
    words: Sequence[str] = (),
    *,
    redacted: bool = False,
) -> Stages:
    """The stages for events about which all is known already: those that /proc tells of, and recorded ones.

    Args:
        redacted: whether all that is private is hidden already, but for the words. Twice may be too much:
            ``/home/ROOT`` is no name of a user.
    """
    stages: list[Stage] = [*filters(settings, settings.tree), *selection.early(), *selection.late()]
    if settings.redact:
        if not redacted:
            stages.append(redact(private))
        if words:
            stages.append(hide_words(words))
    return stages


def run_stages(stages: Stages, event: Event) -> Event | None:
    """The event that comes out at the end, if one does."""
    for stage in stages:
        left = stage(event)
        if left is None:
            return None
        event = left
    return event


def run_pipeline(stages: Stages, events: Iterable[Event]) -> list[Event]:
    """The events that come out at the end."""
    left: Iterable[Event] = events
    for stage in stages:
        left = filter(None, map(stage, left))  # one event after the other goes through all stages
    return list(left)
