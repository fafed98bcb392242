# SPDX-License-Identifier: MIT
"""What can go wrong in the application, and the exit code that each kind has.

::

    TracerError            1   everything else
    ├ OutputError          1   the output cannot be opened or takes no more
    │ └ ReaderGoneError    0   whoever read the output has had enough
    ├ UsageError           2   the command line is at fault
    ├ NoPrivilegeError     3   the kernel does not let us
    ├ KernelError          4   the kernel lacks what we need
    └ LoadError            5   no probe could be loaded and attached

After a signal the exit code is 128 + its number, as shells have it: 130 for SIGINT, 143 for SIGTERM.
"""

from __future__ import annotations


class TracerError(Exception):
    """Any error of the application; its text is ready to show.

    Attributes:
        hint: what the user can do about it, or "".
        exit_code: the status that the process ends with.
        advice: the hint of those that have none of their own.
    """

    exit_code = 1
    advice = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or self.advice


class UsageError(TracerError):
    """The command line is at fault."""

    exit_code = 2
    advice = "see crypto-tracer help, and docs/commands.md for the configuration file"


class NoPrivilegeError(TracerError):
    """The kernel does not let us."""

    exit_code = 3


class KernelError(TracerError):
    """The kernel lacks what we need."""

    exit_code = 4
    advice = "crypto-tracer doctor says what this kernel lacks"


class LoadError(TracerError):
    """No probe could be loaded and attached."""

    exit_code = 5
    advice = "crypto-tracer doctor says why, for each probe"


class OutputError(TracerError):
    """The output cannot be opened or takes no more."""

    advice = "choose another file, or look at its directory, its owner and its permissions"


class ReaderGoneError(OutputError):
    """Whoever read the output has had enough, as `head` does. It is no failure."""

    exit_code = 0
