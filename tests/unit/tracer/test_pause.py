"""Pauses end in time. An eventfd stands for the ring: each write to it wakes who waits for the edge."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tracer import pause as module
from tracer.pause import Pause

LONG_S = 30.0


@pytest.fixture
def ring():
    fd = os.eventfd(0, os.EFD_NONBLOCK) if hasattr(os, "eventfd") else pytest.skip("needs os.eventfd")
    yield fd
    os.close(fd)


@pytest.fixture
def pause(ring, monkeypatch):
    """One that is long unless something ends it."""
    for name in ("SOON_S", "LATER_S", "LONGEST_S"):
        monkeypatch.setattr(module, name, LONG_S)
    with Pause(ring) as made:
        made._began -= LONG_S
        yield made


def took_s(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def wake(ring):
    os.write(ring, (1).to_bytes(8, "little"))


def test_wake_up_before_the_pause_ends_it(ring, pause):
    """It came while records were taken, and is in a hurry."""
    wake(ring)
    assert took_s(lambda: pause.after(1, 0.0, all_taken=True)) < LONG_S / 2


def test_wake_up_ends_the_pause(ring, pause):
    """The kernel wakes for nothing else than what is in a hurry."""
    pause.after(1, 0.0, all_taken=False)
    thread = threading.Timer(0.05, wake, (ring,))
    thread.start()
    assert took_s(lambda: pause.after(100, 0.0, all_taken=True)) < LONG_S / 2
    thread.join()


def test_signal_ends_the_pause(pause):
    """Whoever stops the tracer does not wait."""
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        assert took_s(lambda: pause.after(100, 0.0, all_taken=True)) < LONG_S / 2
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)


def test_no_pause_while_there_is_more(pause):
    """A full batch is followed by the next one."""
    assert took_s(lambda: pause.after(1000, 0.1, all_taken=False)) < LONG_S / 2


def test_pause_ends_before_the_ring_is_full(pause):
    """At the rate of what was taken: a ring that has filled up needs a quarter of the time."""
    pause._began = time.monotonic() - 0.2
    assert took_s(lambda: pause.after(1000, 1.0, all_taken=True)) < LONG_S / 2


def test_pause_of_nothing_in_a_hurry_is_over_in_time(ring, monkeypatch):
    """By the clock."""
    monkeypatch.setattr(module, "SOON_S", 0.01)
    with Pause(ring) as short:
        short.after(1, 0.0, all_taken=True)
