"""Which question enrich asks the process table for each kind of event."""

from __future__ import annotations

from tests.unit.tracer import events
from tracer.pipeline.enrich import enrich


class Table:
    """Answers with the question."""

    def executable(self, *question):
        return ("executable", *question)

    def executed(self, *question):
        return ("executed", *question)

    def ended(self, *question):
        return ("ended", *question)


def exe_of(event):
    return enrich(Table())(event).fields["exe"]


def test_open_by_first_thread_asks_with_its_name():
    """The name tells whether the process has begun another program meanwhile."""
    assert exe_of(events.file_open()) == ("executable", 4711, 500_000_000, "cat")


def test_open_by_another_thread_asks_without_a_name():
    """Threads have names of their own, which say nothing about the program."""
    assert exe_of(events.file_open(tid=4712, comm="worker")) == ("executable", 4711, 500_000_000, "")


def test_exec_hands_over_the_kernels_name():
    """It is what remains when the process is gone."""
    assert exe_of(events.process_exec()) == ("executed", 4711, 500_000_000, "cat", "/usr/bin/cat")


def test_exit_asks_for_the_last_time():
    """The table forgets the process."""
    assert exe_of(events.process_exit()) == ("ended", 4711, 500_000_000)
