# SPDX-License-Identifier: MIT
"""Words for the user, on stderr. Stdout belongs to the data.

One line is one message, and begins with the program's name::

    crypto-tracer: ready (3 of 3 probes, 0.21 s)
    crypto-tracer: warning: probe file_open is off: ...
    crypto-tracer: error: cannot write /var/log/x: no space left on device
      hint: free some space, or choose another --output

Names from files and processes may be hostile, so nothing unprintable leaves this module as it is.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from tracer.progress import Progress

    class Writable(Protocol):
        """What takes messages."""

        def write(self, text: str, /) -> int:
            """Take some text."""

        def flush(self) -> None:
            """Bring it out."""


PROGRAM = "crypto-tracer"

ERRORS, WARNINGS, NOTES, DETAILS = range(4)

# What sd-daemon(3) has in front of a line for the journal, which takes it away.
JOURNAL = ("<3>", "<4>", "<6>", "<7>")


def printable(text: str) -> str:
    """The text with every character that could move a terminal's cursor as an escape sequence."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_journal() -> bool:
    """Whether stderr is the journal's: systemd says which file that is."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class Log:
    """Messages to the user, down to a chosen level.

    Args:
        level: the least important messages that are still shown. Errors and warnings always are:
            a loss must not go unseen because somebody asked for quiet.
        stream: stderr at the time of writing, if none is given.
    """

    def __init__(self, level: int = NOTES, stream: Writable | None = None) -> None:
        self._level = max(level, WARNINGS)
        self._stream = stream
        self._progress: Progress | None = None

    def progress(self, what: str) -> Progress:
        """A bar for work that takes a while; `--quiet` leaves it out. Messages go above it."""
        from tracer.progress import Progress

        self._progress = Progress(what, (self._stream or sys.stderr) if self._level >= NOTES else None)
        return self._progress

    def divert(self, stream: Writable | None) -> None:
        """Write to this from now on; to stderr again if it is None."""
        self._stream = stream

    def error(self, text: str, *, hint: str = "") -> None:
        """What ends the program."""
        self._write(ERRORS, "error: " + text, hint)

    def warning(self, text: str, *, hint: str = "") -> None:
        """What the user should know before relying on the output."""
        self._write(WARNINGS, "warning: " + text, hint)

    def note(self, text: str) -> None:
        """What is good to know; `--quiet` leaves it out."""
        self._write(NOTES, text)

    def detail(self, text: str) -> None:
        """What only `--verbose` shows."""
        self._write(DETAILS, text)

    def _write(self, level: int, text: str, hint: str = "") -> None:
        stream = self._stream or sys.stderr
        if level > self._level or stream is None:  # Python sets sys.stderr to None if fd 2 is closed
            return
        if self._progress:
            self._progress.hide()
        first, *more = text.split("\n")
        if hint:
            more.append("hint: " + hint)
        lines = [f"{PROGRAM}: {printable(first)}", *(f"  {printable(line)}" for line in more)]
        before = JOURNAL[level] if self._stream is None and is_journal() else ""
        try:
            stream.write("".join(f"{before}{line}\n" for line in lines))
            stream.flush()
        except OSError:
            pass  # nobody reads stderr any more, and there is no other place to say so
