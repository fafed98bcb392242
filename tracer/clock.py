# SPDX-License-Identifier: MIT
"""From the kernel's clock to the wall clock.

Events carry nanoseconds since boot (CLOCK_BOOTTIME): BPF has no wall clock, and only the boot clock
goes on counting while the machine sleeps. The distance between both clocks is measured here: the wall
clock is read between two reads of the boot clock, several times, and the narrowest try wins, so its
error is at most half of a window of about 100 ns.

The distance changes when somebody sets the clock and, by up to 500 ppm, while NTP steers it. So it is
measured again while the tracer runs; see `BootClock.measure`.
"""

from __future__ import annotations

import time
from functools import lru_cache

SECOND = 1_000_000_000
TRIES = 5

# A try that took longer was interrupted, and its middle says little.
WIDEST_NS = 100_000


class BootClock:
    """Wall-clock times of moments that the kernel counts from boot.

    Attributes:
        offset_ns: add it to a boot time to get nanoseconds since 1970, UTC.
    """

    def __init__(self) -> None:
        self.offset_ns, _ = self._sample()

    def measure(self) -> None:
        """Follow the wall clock: once a second is enough."""
        offset_ns, width_ns = self._sample()
        if width_ns <= WIDEST_NS or abs(offset_ns - self.offset_ns) > width_ns:
            self.offset_ns = offset_ns

    @staticmethod
    def _sample() -> tuple[int, int]:
        """The best of some tries: offset, and the width of the window it was taken in."""
        clock, boot, wall = time.clock_gettime_ns, time.CLOCK_BOOTTIME, time.CLOCK_REALTIME
        best = None
        for _ in range(TRIES):
            before = clock(boot)
            now = clock(wall)
            after = clock(boot)
            if best is None or after - before < best[1]:
                best = now - (before + after) // 2, after - before
        assert best is not None
        return best


@lru_cache(maxsize=64)
def _utc_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def utc_text(wall_ns: int) -> str:
    """ISO 8601 in UTC with microseconds: ``2026-01-02T03:04:05.678901Z``."""
    return f"{_utc_second(wall_ns // SECOND)}.{wall_ns // 1000 % 1_000_000:06d}Z"
