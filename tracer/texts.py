# SPDX-License-Identifier: MIT
"""How values are shown: numbers of the kernel as names, arguments as a line."""

from __future__ import annotations

import errno
import signal
from functools import lru_cache
from typing import Any

from tracer.known import Known


def errno_name(number: int) -> str | None:
    """``ENOENT`` for 2, None for 0, and the number as text if it has no name here."""
    return errno.errorcode.get(number, str(number)) if number else None


@lru_cache(maxsize=128)
def signal_name(number: int) -> str | None:
    """``SIGTERM`` for 15, ``SIGRTMIN+2`` for 36, None for 0."""
    if not number:
        return None
    lowest, highest = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
    if lowest < number < highest:
        return f"SIGRTMIN+{number - lowest}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def quote(argument: str) -> str:
    """One argument so that a shell reads it back; most need no quotes."""
    if argument and not any(c in _SPECIAL or c.isspace() for c in argument):
        return argument
    return "'" + argument.replace("'", "'\"'\"'") + "'"


_SPECIAL = frozenset("'\"\\$`")


def command_line(arguments: tuple[str, ...]) -> str:
    """The arguments in one line; `shlex.split` gives them back."""
    return " ".join(map(quote, arguments))


def octal(mode: int) -> str | None:
    """The permissions of a file as ls(1) counts them: ``0600``."""
    return f"{mode & 0o7777:04o}" if mode else None


def known(value: Any) -> Any:
    """The value, or None for 0 and ""."""
    return value or None


# Worked out once for each.
errno_names = Known(errno_name).__getitem__
