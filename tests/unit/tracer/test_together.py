"""Work in two threads."""

from __future__ import annotations

import sys
import threading

import pytest

from tracer.together import do_together


def test_two_items_are_worked_on_at_a_time_and_each_one_once():
    """The first two wait for each other: one thread alone would never meet itself."""
    done, turn_s = [], sys.getswitchinterval()
    both = threading.Barrier(2, timeout=10)

    def work(item):
        if item < 2:
            both.wait()
        done.append(item)

    do_together(work, range(9))
    assert sorted(done) == list(range(9))
    assert sys.getswitchinterval() == turn_s


@pytest.mark.parametrize("bad", range(4))
def test_what_is_raised_in_either_thread_comes_out_and_ends_the_work(bad):
    """Ctrl-C as well."""
    done, turn_s = [], sys.getswitchinterval()

    def work(item):
        if item == bad:
            raise KeyboardInterrupt(item)
        done.append(item)

    with pytest.raises(KeyboardInterrupt) as caught:
        do_together(work, [bad, *[item for item in range(1000, 100_000) if item != bad]])
    assert caught.value.args == (bad,)
    assert len(done) < 90_000
    assert sys.getswitchinterval() == turn_s
    assert threading.active_count() == 1


def test_no_items_are_no_work():
    """A tracer with one probe."""
    do_together(pytest.fail, ())
