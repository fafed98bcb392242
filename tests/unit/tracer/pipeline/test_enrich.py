"""Which question enrich asks the process table for each kind of event, and what it adds."""

from __future__ import annotations

import os

import pytest

from tests.unit.tracer import events
from tracer.pipeline.classify import classify
from tracer.pipeline.enrich import enrich


class Table:
    """Answers with the question."""

    remembers = True

    def __init__(self):
        self.forks = []
        self.asked = 0

    def executable(self, *question):
        self.asked += 1
        return ("executable", *question)

    def executed(self, *question):
        return ("executed", *question)

    def ended(self, *question):
        return ("ended", *question)

    def forked(self, *question):
        self.forks.append(question)


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


def test_fork_tells_the_table_and_is_not_shown():
    """It is for ourselves."""
    table = Table()
    assert enrich(table)(events.process_fork()) is None
    assert table.forks == [(4711, 500_000_000, 4712, 600_000_000)]


def test_library_that_cannot_be_read_has_the_version_of_its_name():
    """The process is gone, and so is the file."""
    event = events.lib_load("/nowhere/libgnutls.so.30.1.2", pid=0, device="0:999999")
    fields = enrich(Table())(classify(event)).fields
    assert (fields["library_name"], fields["family"]) == ("libgnutls", "GnuTLS")
    assert (fields["version"], fields["build_id"]) == ("30.1.2", None)


def test_classify_drops_a_library_that_only_looks_alike():
    """The kernel sends what begins like one; the catalog decides."""
    assert classify(events.lib_load("/usr/lib/libssl_helper.so")) is None
    assert classify(events.lib_open("libnss_files.so.2")) is None
    assert classify(events.lib_open(os.path.join("x", "libssl.so.3"))).fields["library_name"] == "libssl"


@pytest.mark.parametrize(("remembers", "asked"), [(True, 2), (False, 4)])
def test_table_is_asked_again_only_after_a_change(remembers, asked):
    """Two opens, an exec, two opens: what a process runs holds until it executes something else."""
    table = Table()
    table.remembers = remembers
    stage = enrich(table)
    for make in (events.file_open, events.file_open, events.process_exec, events.file_open, events.file_open):
        stage(make())
    assert table.asked == asked
