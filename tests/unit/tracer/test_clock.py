"""Boot time to wall-clock time."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from tracer import clock
from tracer.clock import BootClock, utc_text


def test_offset_gives_wall_time_of_this_moment():
    """A boot time read between two wall times becomes a time between them, to a tenth of a millisecond."""
    boot_clock = BootClock()
    before = time.time_ns()
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    after = time.time_ns()
    assert before - 100_000 <= boot + boot_clock.offset_ns <= after + 100_000


class Clocks:
    """Stands in for the time module: a boot clock and a wall clock that a test sets."""

    CLOCK_BOOTTIME, CLOCK_REALTIME = 1, 2

    def __init__(self, offset_ns, widths_ns):
        self.offset_ns = offset_ns
        self.widths_ns = list(widths_ns)
        self.now = 1_000_000

    def clock_gettime_ns(self, which):
        if which == self.CLOCK_REALTIME:
            self.now += self.widths_ns[0] // 2
            return self.now + self.offset_ns
        if self.widths_ns and self._inside:
            self.now += self.widths_ns[0] - self.widths_ns[0] // 2
            self.widths_ns.append(self.widths_ns.pop(0))
        self._inside = not self._inside
        return self.now

    _inside = False


def test_measure_takes_the_narrowest_try(monkeypatch):
    """A try that was interrupted between its reads does not spoil the result."""
    clocks = Clocks(5_000_000, [90_000, 40, 70_000, 50_000, 30_000])
    monkeypatch.setattr(clock, "time", clocks)
    assert BootClock().offset_ns == 5_000_000


def test_measure_follows_a_step_of_the_wall_clock(monkeypatch):
    """Somebody sets the clock while the tracer runs: later events get the new time."""
    clocks = Clocks(5_000_000, [100])
    monkeypatch.setattr(clock, "time", clocks)
    boot_clock = BootClock()
    clocks.offset_ns = 7_200_000_000_000
    boot_clock.measure()
    assert boot_clock.offset_ns == 7_200_000_000_000


def test_measure_ignores_noise_of_a_busy_machine(monkeypatch):
    """When every try was interrupted, a small difference says nothing."""
    clocks = Clocks(5_000_000, [100])
    monkeypatch.setattr(clock, "time", clocks)
    boot_clock = BootClock()
    clocks.offset_ns += 40_000
    clocks.widths_ns = [10 * clock.WIDEST_NS]
    boot_clock.measure()
    assert boot_clock.offset_ns == 5_000_000


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_767_323_045_678_901_999, "2026-01-02T03:04:05.678901Z"),
        (1_767_323_045_000_000_999, "2026-01-02T03:04:05.000000Z"),
    ],
)
def test_utc_text_has_microseconds(wall_ns, text):
    """ISO 8601, cut off at microseconds, as `datetime` reads it."""
    assert utc_text(wall_ns) == text
    parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert int(parsed.timestamp()) == wall_ns // clock.SECOND
