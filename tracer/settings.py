# SPDX-License-Identifier: MIT
"""What the user asked for, as far as capture is concerned."""

from __future__ import annotations

from typing import NamedTuple


class Settings(NamedTuple):
    """What to capture, and how much of it to show.

    Attributes:
        pid: the only process to watch, or 0 for all.
        own_pid: the tracer's own process, whose doings are never reported.
        redact: whether private parts are hidden.
    """

    own_pid: int
    pid: int = 0
    redact: bool = True
