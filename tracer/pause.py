# SPDX-License-Identifier: MIT
"""How long records gather before they are taken.

To be woken costs more than a record does, so a busy tracer lets them gather: soon after a few, which may be the first
words of a process that will not live long; longer after many, for more will follow. It never lets the ring become
more than a quarter full at the rate that it sees.

Some records are in a hurry: who maps a library is about to call it, and its functions are to be probed by then. The
kernel wakes for these, and for no others (bpf/include/record.bpf.h). Edge-triggered, a wait ends at a wake-up, even one
that came before it began, and not because there is something in the ring.

A signal ends a pause, too, and a key.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# How long after a few records, after more, and after many.
FEW, MANY = 8, 64
SOON_S, LATER_S, LONGEST_S = 0.010, 0.040, 0.160

# How full the ring may be at the end of a pause.
FULL = 0.25


class Pause:
    """Lets records gather.

    Args:
        ring_fd: of the ring buffer.
        key_fd: of a terminal whose keys end a pause, too.
    """

    def __init__(self, ring_fd: int, key_fd: int = -1) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signalled = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        self._epoll = select.epoll()
        self._epoll.register(self._reads, select.EPOLLIN)
        if ring_fd >= 0:
            self._epoll.register(ring_fd, select.EPOLLIN | select.EPOLLET)
        if key_fd >= 0:
            self._epoll.register(key_fd, select.EPOLLIN)
        self._began = time.monotonic()
        self._records, self._filled = 0, 0.0

    def __enter__(self) -> Pause:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._signalled)
        self._epoll.close()
        os.close(self._reads)
        os.close(self._writes)

    def after(self, records: int, filled: float, *, all_taken: bool) -> None:
        """Wait until it is worth while to look again.

        Args:
            records: how many were taken.
            filled: how much of the ring they had filled, 0 to 1.
            all_taken: whether there were no more.
        """
        self._records += records
        self._filled += filled
        if not all_taken:
            return
        now = time.monotonic()
        records, filled, self._records, self._filled = self._records, self._filled, 0, 0.0
        wanted_s = SOON_S if records <= FEW else LATER_S if records <= MANY else LONGEST_S
        # At the rate of those that were taken, which came since the pause before this began.
        room_s = (now - self._began) * FULL / filled if filled else wanted_s
        self._began = now
        if self._reads in dict(self._epoll.poll(min(wanted_s, room_s))):
            os.read(self._reads, 512)
