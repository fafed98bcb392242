# SPDX-License-Identifier: MIT
"""Work in two threads: Python in one of them while the kernel is busy for the other.

Python runs in one thread at a time. A system call lets the other one run, but has to wait for its turn when it is
back: 5 ms, if nobody says otherwise, for each of hundreds of short calls.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["do_together"]

Item = TypeVar("Item")

# How long a thread may run while the other one waits.
TURN_S = 0.001


def do_together(work: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Do some work for each item, two at a time, begun in their order.

    Raises:
        BaseException: what the work raised first; what had not been begun by then is left out.
    """
    left = list(items)[::-1]
    raised: list[BaseException] = []

    def run() -> None:
        while not raised:
            try:
                item = left.pop()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001  the caller gets it
                raised.append(error)

    turn_s = sys.getswitchinterval()
    other = threading.Thread(target=run)
    sys.setswitchinterval(TURN_S)
    try:
        other.start()
        run()
        other.join()
    finally:
        sys.setswitchinterval(turn_s)
    if raised:
        raise raised[0]
