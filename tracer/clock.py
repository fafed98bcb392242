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


class UtcText:
    """ISO 8601 in UTC with microseconds: ``2026-01-02T03:04:05.678901Z``.

    Times come in order, nearly, so the text of the second is kept until another one comes.
    """

    def __init__(self) -> None:
        self._begin = -SECOND
        self._text = ""

    def show(self, wall_ns: int) -> str:
        """The text of a time in nanoseconds since 1970."""
        ns = wall_ns - self._begin
        if not 0 <= ns < SECOND:
            second = wall_ns // SECOND
            self._begin = second * SECOND
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            ns = wall_ns - self._begin
        return f"{self._text}{ns // 1000:06d}Z"


utc_text = UtcText().show
