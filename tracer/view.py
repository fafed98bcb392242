# SPDX-License-Identifier: MIT
"""How the events of a run are shown: as they are, or as a document. Sessions and replays use the same views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.pipeline import run_pipeline
from tracer.present import present_libraries
from tracer.sinks import make_sink

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from tracer.manager import EbpfManager
    from tracer.pipeline import Stages
    from tracer.profile import Profile
    from tracer.sinks import Sink
    from tracer.sinks.output import Output


class View:
    """As events, in the format of the options. Commands have their own, if it is something else.

    Attributes:
        document: whether it is one document, whatever the format.
    """

    document = False

    def make_sink(self, options: Namespace, output: Output) -> Sink:
        """What takes the events."""
        return make_sink(options.format, output)

    def begin(self, sink: Sink, known: Stages) -> None:
        """All probes are on, and nothing has been taken yet.

        Args:
            known: the stages for events about which all is known.
        """

    @property
    def key_fd(self) -> int:
        """The descriptor that keys come from, -1 if there is none."""
        return -1

    def tick(self, manager: EbpfManager) -> bool:  # noqa: ARG002  others look at it
        """Called between batches, twenty times a second or more often. Returns whether the user wants the end."""
        return False

    def leave(self) -> None:
        """Nothing more is watched from here on; what has happened before may still come."""

    def end(self, lost: int) -> None:
        """All has been taken, and so much was lost."""


class NoView(View):
    """Not at all: they are recorded."""

    def make_sink(self, options: Namespace, output: Output) -> Sink:  # noqa: ARG002  as the others
        """Only counts."""
        from tracer.sinks.recording import Nothing

        return Nothing()


class LibrariesView(View):
    """Libraries that are loaded already, before the events."""

    def begin(self, sink: Sink, known: Stages) -> None:
        """List them."""
        for event in run_pipeline(known, present_libraries()):
            sink.write(event)
        sink.flush()


class ProfileView(View):
    """What processes did, as one document.

    Args:
        pids: of the processes that are watched; those of the events if there are none.
    """

    document = True

    def __init__(self, pids: Sequence[int] = ()) -> None:
        self._pids = pids
        self._profile: Profile | None = None

    def make_sink(self, options: Namespace, output: Output) -> Sink:
        """The profile itself."""
        from tracer.profile import Profile

        self._profile = Profile(output, options.format, redact=not options.no_redact, words=options.words)
        return self._profile

    def begin(self, sink: Sink, known: Stages) -> None:
        """Look at the processes that there are."""
        assert self._profile is not None
        self._profile.begin(self._pids)
        for event in run_pipeline(known, present_libraries(self._pids)):
            sink.write(event)

    def end(self, lost: int) -> None:
        """The profile says what it lacks."""
        assert self._profile is not None
        self._profile.lost = lost


class RunView(ProfileView):
    """The same of a command, which begins when all is ready.

    Args:
        release: lets the process run that waits to become the command.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        super().__init__()
        self._release = release

    def begin(self, sink: Sink, known: Stages) -> None:
        """Now."""
        super().begin(sink, known)
        self._release()
