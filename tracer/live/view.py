# SPDX-License-Identifier: MIT
"""The live table as a view and a sink, so that sessions and replays show it like anything else.

A session calls `tick` between batches. A replay has no time of its own: there the sink holds each event back until it
is due.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from tracer.errors import ReaderGoneError
from tracer.live.app import App
from tracer.live.state import MESSAGES, Model
from tracer.log import PROGRAM
from tracer.pipeline import run_pipeline
from tracer.present import present_libraries
from tracer.sinks import make_sink
from tracer.view import View

if TYPE_CHECKING:
    from argparse import Namespace
    from types import TracebackType

    from tracer.log import Log
    from tracer.manager import EbpfManager
    from tracer.model import Event
    from tracer.pipeline import Stages
    from tracer.sinks import Sink
    from tracer.sinks.output import Output
    from tracer.stop import Stop

# How long a replay waits before it looks at keys again.
GLANCE_S = 0.05


class QuitError(ReaderGoneError):
    """The user has seen enough of a replay."""


class Held:
    """A stderr that keeps what is written, since there is a table where it would be seen."""

    def __init__(self, model: Model) -> None:
        self._messages = model.messages
        self._texts: deque[str] = deque(maxlen=MESSAGES)
        self._passes = sys.stderr is not None and not sys.stderr.isatty()

    def write(self, text: str) -> int:
        """Keep it, for the view of losses and for the end; a file gets it now."""
        self._messages.append(text.rstrip("\n").removeprefix(f"{PROGRAM}: ").replace("\n", " "))
        if self._passes:
            sys.stderr.write(text)
        else:
            self._texts.append(text)
        return len(text)

    def flush(self) -> None:
        """As stderr has it."""
        if self._passes:
            sys.stderr.flush()

    def release(self) -> None:
        """Say it all now."""
        texts, self._texts = list(self._texts), deque()
        if sys.stderr is not None:
            try:
                sys.stderr.write("".join(texts))
                sys.stderr.flush()
            except OSError:
                pass  # nobody reads it


class LiveSink:
    """Takes events for the table, and passes them on to a file if there is one."""

    def __init__(self, view: LiveView, inner: Sink | None) -> None:
        self._view = view
        self._inner = inner
        self._take = view.take

    @property
    def written(self) -> int:
        """How many events the table has got."""
        return self._view.app.model.taken

    def __enter__(self) -> LiveSink:
        if self._inner:
            self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._view.leave()
            if kind is None:
                self._view.app.finish()
        finally:
            if self._inner:
                self._inner.__exit__(kind, error, trace)

    def write(self, event: Event) -> None:
        """Take one event."""
        self._take(event)
        if self._inner:
            self._inner.write(event)

    def flush(self) -> None:
        """Bring out what goes to a file; the table is drawn when it is time to."""
        if self._inner:
            self._inner.flush()


class LiveView(View):
    """The table, on the terminal of the app."""

    def __init__(self, app: App, log: Log, stop: Stop) -> None:
        self.app = app
        self._log = log
        self._stop = stop
        self._held: Held | None = None
        self._replays = app.speed is not None
        self._next_glance = 0.0
        self._due_from: tuple[float, int] | None = None
        self.take = self._take_when_due if self._replays else app.model.take

    def make_sink(self, options: Namespace, output: Output) -> Sink:
        """The table; and, with --output, lines in a file as well."""
        inner = None if options.output in ("", "-") else make_sink(options.format, output)
        if self._replays:
            self._begin()
        return LiveSink(self, inner)

    def begin(self, sink: Sink, known: Stages) -> None:  # noqa: ARG002  as the others
        """Libraries that are loaded already, then the screen."""
        for event in run_pipeline(known, present_libraries()):
            self.app.model.take(event)
        self._begin()

    def _begin(self) -> None:
        self._held = Held(self.app.model)
        self._log.divert(self._held)
        self.app.begin()

    @property
    def key_fd(self) -> int:
        """That of the terminal."""
        return self.app.key_fd

    def tick(self, manager: EbpfManager) -> bool:
        """Keys, and a frame if it is time for one."""
        return self.app.tick(manager)

    def leave(self) -> None:
        """Give the terminal back, and say what has been held back. Can be called again."""
        held, self._held = self._held, None
        self.app.leave()
        if held:
            self._log.divert(None)
            held.release()
            self._log.detail(f"table: {self.app.frames} frames, {self.app.drawing_s:.3f} s of CPU time")

    def end(self, lost: int) -> None:
        """A replay stays at its end until the user leaves."""
        self.app.model.lost = lost
        self.app.at_end = self._replays
        if self._replays and self.app.has_terminal:
            while not self._stop.requested and not self.app.tick():
                self.app.wait(GLANCE_S)
        self.leave()

    # A replay.

    def _take_when_due(self, event: Event) -> None:
        app = self.app
        if app.has_terminal:
            now = time.monotonic()
            if now >= self._next_glance or not self._is_due(event, now):
                self._wait_for(event)
        app.model.take(event)

    def _is_due(self, event: Event, now: float) -> bool:
        speed = self.app.speed or 1.0
        wall_ns: int = event.fields["wall_ns"]
        if self._due_from is None:
            self._due_from = now, wall_ns
        since, first_ns = self._due_from
        return (wall_ns - first_ns) / 1e9 <= (now - since) * speed

    def _wait_for(self, event: Event) -> None:
        """Until an event is due; keys may change what that means."""
        app = self.app
        while True:
            speed, paused = app.speed, app.paused
            if app.tick() or self._stop.requested:
                raise QuitError("the user has seen enough")
            now = time.monotonic()
            if app.speed != speed or app.paused or paused:
                # From here on, from the last event that was shown.
                last_ns = app.model.last_ns or event.fields["wall_ns"]
                self._due_from = now, last_ns
            self._next_glance = now + GLANCE_S
            if not app.paused and self._is_due(event, now):
                return
            app.wait(GLANCE_S)
