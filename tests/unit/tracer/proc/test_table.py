"""Executables of processes that change, end, and have their ids used again."""

from __future__ import annotations

import pytest

from tracer.proc import table
from tracer.proc.reader import GoneError, HiddenError, Identity
from tracer.proc.table import ProcessTable

TICK_NS = 10_000_000


class Proc:
    """A /proc with processes that a test puts there: pid to executable, start tick and name."""

    def __init__(self):
        self.processes = {}
        self.looks = 0

    def ticks(self, boot_ns):
        return boot_ns // TICK_NS

    def executable(self, pid):
        self.looks += 1
        return self._find(pid)[0]

    def identity(self, pid):
        return Identity(*self._find(pid)[1:])

    def _find(self, pid):
        if pid not in self.processes:
            raise GoneError("gone")
        return self.processes[pid]

    def running(self):
        return list(self.processes)

    GoneError, HiddenError = GoneError, HiddenError


@pytest.fixture
def proc(monkeypatch):
    fake = Proc()
    monkeypatch.setattr(table, "reader", fake)
    return fake


def test_executable_is_looked_up_once(proc):
    """The second event of a process costs no system call."""
    proc.processes[7] = ("/usr/bin/cat", 5, "cat")
    processes = ProcessTable()
    assert [processes.executable(7, 5 * TICK_NS, "cat") for _ in range(3)] == ["/usr/bin/cat"] * 3
    assert proc.looks == 1


def test_executable_of_vanished_process_is_unknown_and_not_asked_again(proc):
    """It will not come back."""
    processes = ProcessTable()
    assert [processes.executable(7, 5 * TICK_NS, "cat") for _ in range(2)] == [None, None]
    assert proc.looks == 1


def test_executable_of_reused_pid_is_unknown(proc):
    """Another process with the same id is not taken for the one in the event."""
    proc.processes[7] = ("/usr/bin/dog", 6, "cat")
    assert ProcessTable().executable(7, 5 * TICK_NS, "cat") is None


def test_executable_of_process_that_runs_another_program_is_unknown(proc):
    """The shell opened the file, then became cat: it was not cat that opened it."""
    proc.processes[7] = ("/usr/bin/cat", 5, "cat")
    assert ProcessTable().executable(7, 5 * TICK_NS, "sh") is None


def test_executable_for_another_thread_ignores_names(proc):
    """Worker threads are called as they like."""
    proc.processes[7] = ("/usr/bin/app", 5, "app")
    assert ProcessTable().executable(7, 5 * TICK_NS, "") == "/usr/bin/app"


def test_executable_that_we_may_not_see_is_unknown(proc, monkeypatch):
    """Without CAP_SYS_PTRACE the kernel does not tell."""

    def hidden(pid):
        raise HiddenError("no")

    monkeypatch.setattr(proc, "executable", hidden)
    assert ProcessTable().executable(7, 5 * TICK_NS, "cat") is None


def test_executed_replaces_what_was_known(proc):
    """After an exec the process runs something else."""
    proc.processes[7] = ("/usr/bin/dash", 5, "sh")
    processes = ProcessTable()
    processes.executable(7, 5 * TICK_NS, "sh")
    proc.processes[7] = ("/usr/bin/cat", 5, "cat")
    assert processes.executed(7, 5 * TICK_NS, "cat", "cat") == "/usr/bin/cat"
    assert processes.executable(7, 5 * TICK_NS, "cat") == "/usr/bin/cat"


def test_executed_by_vanished_process_falls_back_to_the_kernels_name(proc):
    """A program of a few milliseconds is still told, for its opens and its end too."""
    processes = ProcessTable()
    assert processes.executed(7, 5 * TICK_NS, "cat", "/usr/bin/cat") == "/usr/bin/cat"
    assert processes.executable(7, 5 * TICK_NS, "cat") == "/usr/bin/cat"
    assert processes.ended(7, 5 * TICK_NS) == "/usr/bin/cat"


def test_executed_twice_in_a_row_tells_each_program(proc):
    """`env cat`: by the time we look, it is cat already."""
    proc.processes[7] = ("/usr/bin/cat", 5, "cat")
    processes = ProcessTable()
    assert processes.executed(7, 5 * TICK_NS, "env", "/usr/bin/env") == "/usr/bin/env"
    assert processes.executed(7, 5 * TICK_NS, "cat", "/usr/bin/cat") == "/usr/bin/cat"


def test_ended_process_is_forgotten(proc):
    """The table does not grow with the number of processes that have ever run."""
    processes = ProcessTable()
    processes.executed(7, 5 * TICK_NS, "cat", "/usr/bin/cat")
    processes.ended(7, 5 * TICK_NS)
    assert len(processes) == 0
    assert processes.ended(7, 5 * TICK_NS) is None


def test_table_forgets_the_least_recently_used(proc):
    """At its capacity, what was just used stays."""
    processes = ProcessTable(capacity=2)
    for pid in (1, 2):
        processes.executed(pid, 0, "x", f"/bin/{pid}")
    processes.executable(1, 0, "x")
    processes.executed(3, 0, "x", "/bin/3")
    assert [processes.ended(pid, 0) for pid in (1, 2, 3)] == ["/bin/1", None, "/bin/3"]


def test_table_without_exec_events_remembers_nothing(proc):
    """A remembered executable would be wrong after an exec that nobody reported."""
    proc.processes[7] = ("/usr/bin/dash", 5, "")
    processes = ProcessTable(sees_exec=False)
    processes.executable(7, 5 * TICK_NS, "")
    proc.processes[7] = ("/usr/bin/cat", 5, "")
    assert processes.executable(7, 5 * TICK_NS, "") == "/usr/bin/cat"


def test_look_around_remembers_running_processes(proc):
    """A service that ran long before the tracer and crashes now is still told by its executable."""
    proc.processes = {7: ("/usr/sbin/nginx", 5, "nginx"), 8: ("/usr/bin/cat", 6, "cat")}
    processes = ProcessTable()
    processes.look_around()
    proc.processes = {}
    assert processes.ended(7, 5 * TICK_NS + 1) == "/usr/sbin/nginx"
    assert processes.ended(8, 5 * TICK_NS) is None


def test_look_around_ends_in_time_with_the_newest(proc):
    """On a host with very many processes those that began last come first; the rest waits for its events."""
    proc.processes = dict.fromkeys(range(1, 100), ("/bin/x", 5, "x"))
    processes = ProcessTable()
    processes.look_around(within_s=0)
    proc.processes = {}
    assert len(processes) == 1
    assert processes.ended(99, 5 * TICK_NS) == "/bin/x"
