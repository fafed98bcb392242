"""Holding signals back while a file descriptor has no owner yet.

A handler that raises, as Ctrl-C's does, may run between any two steps of Python: also after the kernel has made a
link and before an `Fd` owns its number. Nobody could close that link any more. So what makes descriptors holds signals
back until its result exists; when they come then, the result is dropped, and closes itself.

That is complete in programs of one thread. With several, a signal for the process may reach another thread, which tells
the main one between two of its steps.
"""

from __future__ import annotations

import signal
from _signal import pthread_sigmask  # type: ignore[import-not-found]  # signal.pthread_sigmask() makes enums: 60 µs
from functools import wraps
from typing import Any, Callable, TypeVar, cast

__all__ = ["uninterrupted"]

Function = TypeVar("Function", bound=Callable[..., Any])
ALL = signal.valid_signals()


def uninterrupted(function: Function) -> Function:
    """The same function, with all signals of its thread held back until it is done."""

    @wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        before = pthread_sigmask(signal.SIG_BLOCK, ALL)
        try:
            return function(*arguments, **options)
        finally:
            pthread_sigmask(signal.SIG_SETMASK, before)

    return cast("Function", wrapper)
