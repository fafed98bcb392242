# SPDX-License-Identifier: MIT
"""A bar on stderr for work that takes a while, if somebody sees it: on a terminal, and not before half a second."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

# When it comes, how often it changes, and how wide it is.
AFTER_S, EVERY_S, WIDTH = 0.5, 0.1, 24

_ERASE = "\r\x1b[K"


class Progress:
    """How far some work is. As a context manager it is gone at the end.

    Args:
        what: is done, in a word or two.
        stream: where it is shown; nowhere if that is no terminal, or None.
    """

    def __init__(self, what: str, stream: Any) -> None:
        self._what = what
        self._stream: Any = stream if _is_terminal(stream) else None
        self._next = time.monotonic() + AFTER_S
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()
        self._stream = None

    def show(self, done: int, total: int = 0) -> None:
        """So much is done. Costs next to nothing where it is not shown.

        Args:
            total: how much there is to do; 0 if nobody knows.
        """
        if self._stream is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        text = f"{self._what}: {done:,}"
        if total:
            full = WIDTH * min(done, total) // total
            text = f"{self._what}: [{'#' * full}{'.' * (WIDTH - full)}] {done:,} of {total:,}"
        self._shown = True
        self._write(_ERASE + text)

    def hide(self) -> None:
        """Make room for a message; it comes again with the next change."""
        if self._shown:
            self._shown = False
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        stream = self._stream
        if stream is None:
            return
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            self._stream = None  # nobody sees it any more


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty()) and os.environ.get("TERM", "dumb") != "dumb"
    except (AttributeError, ValueError, OSError):
        return False
