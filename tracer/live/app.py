# SPDX-License-Identifier: MIT
"""The live table at work: it takes keys and draws, between batches of events and in the same thread.

A second thread would gain nothing: the interpreter runs one at a time, and it is the ring buffer that holds events
meanwhile. A frame takes a few milliseconds, and the ring has room for the events of many seconds.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console

from tracer.errors import OutputError
from tracer.live import browser as keys_for
from tracer.live.browser import Browser
from tracer.live.draw import Changes, Frame, Status, draw
from tracer.live.keys import Keys
from tracer.live.state import Model
from tracer.live.svg import write_picture
from tracer.live.terminal import LARGEST, SMALLEST, Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.manager import EbpfManager

# How often changes are drawn at the most, keys aside, and which part of a core drawing may take.
INTERVAL_S = 0.2
SHARE = 0.04

# How often the kernel's counters are read.
TELL_S = 1.0

# The size of a picture without a terminal.
PICTURE_SIZE = (120, 36)

SPEEDS = (1 / 16, 4096.0)


class App:
    """The model, what is shown of it, and the terminal.

    Args:
        terminal: where it is drawn; None to draw nothing but the picture at the end.
        picture: file for the picture, or "".
        source: file that the events come from, if not from this host: it is in the place of the host's name.
        speed: of a replay, as a multiple; None if there is none.

    Attributes:
        drawing_s: CPU time that keys and drawing have taken.
        frames: how many there were.
        ended: whether the user has asked for the end.
        at_end: whether a replay has come to its end.
    """

    def __init__(
        self,
        terminal: Terminal | None,
        *,
        view: str,
        picture: str = "",
        source: str = "",
        speed: float | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.model = Model()
        self.browser = Browser(view, freezes=speed is None)
        self.speed = speed
        self.paused = False
        self.drawing_s = 0.0
        self.frames = 0
        self.ended = False
        self.at_end = False
        self._size = _size_without_terminal()
        self._terminal = terminal
        self._picture = picture
        self._keys = Keys()
        self._note = ""
        self._began = time.monotonic()
        host = os.uname()
        self._host, self._kernel = (os.path.basename(source), "recorded") if source else (host.nodename, host.release)
        self._buffer = io.StringIO()
        self._environ = environ
        self._encoding = "utf-8" if _has_unicode(environ) else "ascii"
        self._console: Console | None = None
        self._shown: Frame | None = None
        self._drawn: tuple[object, ...] = ()
        self._next_draw = self._next_tell = 0.0

    # From outside.

    @property
    def has_terminal(self) -> bool:
        """Whether there is a terminal that it is drawn on."""
        return self._terminal is not None

    @property
    def key_fd(self) -> int:
        """The descriptor that keys come from, -1 if there is none."""
        return self._terminal.fileno() if self._terminal else -1

    def begin(self) -> None:
        """The trace begins now."""
        self._began = time.monotonic()
        if self._terminal:
            self._terminal.enter()
            self._draw(now=True)

    def tick(self, manager: EbpfManager | None = None) -> bool:
        """Take keys and draw, if it is time to; returns whether the user has asked for the end."""
        began = time.thread_time()
        now = time.monotonic()
        if manager is not None and now >= self._next_tell:
            self._next_tell = now + TELL_S
            self.model.tell(manager.states, manager.get_stats())
        if self.speed is None:
            self.model.advance(time.time_ns())
        if self._terminal:
            pressed = self._keys.feed(self._terminal.read(), now)
            for key in pressed:
                self._press(key)
            if self._terminal.stale:
                self._shown = None
            if pressed or now >= self._next_draw:
                self._draw(now=bool(pressed) or self._terminal.stale)
                if not pressed:
                    self._next_draw = now + max(INTERVAL_S, (time.thread_time() - began) / SHARE)
        self.drawing_s += time.thread_time() - began
        return self.ended

    def wait(self, timeout_s: float) -> None:
        """Nothing to do for so long, unless a key is pressed."""
        if self._terminal and self._terminal.active:
            self._terminal.wait(timeout_s)
        else:
            time.sleep(timeout_s)

    def leave(self) -> None:
        """Give the terminal back. Can be called again."""
        terminal, self._terminal = self._terminal, None
        if terminal:
            self._size = terminal.size
            terminal.close()

    def finish(self) -> None:
        """Write the picture, if there is to be one. Can be called again.

        Raises:
            OutputError: it cannot be written.
        """
        picture, self._picture = self._picture, ""
        if picture:
            self._write_picture(picture, self._size)

    # Inside.

    def _press(self, key: str) -> None:
        self._note = ""
        asked = self.browser.press(key, self.model)
        if asked == keys_for.QUIT:
            self.ended = True
        elif asked == keys_for.REDRAW:
            self._shown = None
        elif asked == keys_for.PAUSE:
            self.paused = not self.paused
        elif asked == keys_for.PICTURE:
            self._picture_now()
        elif asked and self.speed is not None:
            factor = 2.0 if asked == keys_for.FASTER else 0.5
            self.speed = min(max(self.speed * factor, SPEEDS[0]), SPEEDS[1])

    def _picture_now(self) -> None:
        if not self._picture or not self._terminal:
            self._note = "no picture: begin with --export-svg FILE"
            return
        try:
            self._write_picture(self._picture, self._terminal.size)
        except OutputError as error:
            self._note = str(error)
        else:
            self._note = f"written: {self._picture}"

    def _write_picture(self, path: str, size: tuple[int, int]) -> None:
        write_picture(path, draw(self.browser, self.model, self._status(), *size), size[0])

    def _status(self) -> Status:
        model = self.model
        notes = ["PAUSED"] if self.paused else []
        if self.speed is not None:
            notes.append("end of the recording" if self.at_end else f"replay {self.speed:g}x")
        if model.left_out:
            notes.append(f"{model.left_out:,} old rows left out")
        if self._note:
            notes.append(self._note)
        up_s = time.monotonic() - self._began if self.speed is None else (model.last_ns - model.first_ns) / 1e9
        share = model.post_quantum / model.graded if model.graded else None
        return Status(
            self._host,
            self._kernel,
            up_s,
            model.rate,
            model.lost,
            share,
            tuple(model.rates),
            tuple(notes),
            unicode=self._encoding == "utf-8",
        )

    def _draw(self, *, now: bool) -> None:
        terminal = self._terminal
        if terminal is None or not terminal.active or terminal.busy:
            return
        size = terminal.size
        model = self.model
        # What a frame depends on, beside keys.
        seen = (size, model.taken, model.lost, len(model.messages), int(time.monotonic() - self._began), model.last_ns)
        if seen == self._drawn and not now and self._shown is not None:
            return
        self._drawn = seen
        frame = draw(self.browser, model, self._status(), *size)
        if self._shown is not None and (self._shown.width, len(self._shown.lines)) != (frame.width, len(frame.lines)):
            self._shown = None
        clear = "\x1b[2J" if self._shown is None else ""
        data = clear + self._render(Changes(frame, self._shown), size)
        self._shown = frame
        terminal.stale = False
        self.frames += 1
        terminal.write(data.encode(self._encoding, "replace"))

    def _render(self, changes: Changes, size: tuple[int, int]) -> str:
        """As the terminal takes it; rich knows what colours it has, and whether the user wants any."""
        if self._console is None or self._console.size != size:
            self._console = Console(
                file=self._buffer,
                force_terminal=True,
                width=size[0],
                height=size[1],
                legacy_windows=False,
                _environ=self._environ,
            )
        self._console.print(changes, soft_wrap=True, end="")
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text


def _has_unicode(environ: Mapping[str, str]) -> bool:
    """Whether the user's locale has more than ASCII. Python itself takes UTF-8 for granted in the locale C."""
    name = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    return "utf" in name.lower() or (name not in ("C", "POSIX") and "utf" in encoding.lower())


def _size_without_terminal() -> tuple[int, int]:
    columns, lines = shutil.get_terminal_size(PICTURE_SIZE)
    return min(max(columns, SMALLEST[0]), LARGEST[0]), min(max(lines, SMALLEST[1]), LARGEST[1])
