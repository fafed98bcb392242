"""`EbpfManager` in this process: degraded mode, accounting, and what it leaves behind.

The gate of kernel tests checks after each that no file descriptor, program, map or link is left.
"""

from __future__ import annotations

import io
import os
import subprocess
import threading
import time

import pytest

from tests.support.objects import path_of
from tests.support.sandbox import cgroup
from tests.support.workloads import opens, wait_until
from tracer import objects
from tracer.errors import LoadError, TracerError
from tracer.log import NOTES, Log
from tracer.manager import BATCH, EbpfManager
from tracer.probes import PROBES as ALL_PROBES
from tracer.settings import Settings

# Those that are on without any options.
PROBES = [probe for probe in ALL_PROBES if probe.wanted(Settings(own_pid=0))]

pytestmark = pytest.mark.kernel


@pytest.fixture
def log():
    return io.StringIO()


def manager_of(log, *, pid=0, probes=PROBES, own_pid=0, cgroup=""):
    return EbpfManager.create(probes, Settings(own_pid=own_pid, pid=pid, cgroup=cgroup), Log(NOTES, log))


def started(manager):
    manager.load_programs()
    manager.attach_programs()
    return manager


def poll_all(manager):
    """Everything that is there, batch by batch."""
    events = []
    while batch := manager.poll_events():
        assert len(batch) <= BATCH
        events += batch
    return events


ON = {probe.name for probe in PROBES}


def break_object(monkeypatch, *names):
    """Lets the objects of some probes be read as rubbish."""
    real = objects.read

    def read(name):
        return b"rubbish" if name in names else real(name)

    monkeypatch.setattr(objects, "read", read)


def test_manager_goes_on_without_a_probe_that_fails_to_load(log, monkeypatch, tmp_path):
    """One line says which and why; the others do their work."""
    break_object(monkeypatch, "process_exec_trace")
    with opens(str(tmp_path / "x.pem")) as workload, manager_of(log, pid=workload.pid) as manager:
        started(manager)
        workload.go()
        assert {event.kind.name for event in poll_all(manager)} == {"file_open", "process_exit"}
        assert set(manager.attached) == ON - {"process_exec"}
        (skipped,) = manager.skipped
    assert skipped.probe == "process_exec"
    assert log.getvalue().startswith("crypto-tracer: warning: probe process_exec is off: ")
    assert skipped.reason in log.getvalue()


@pytest.mark.parametrize("other", ["process_exit_trace", "uprobe"])
def test_manager_goes_on_without_a_probe_whose_object_is_another(log, monkeypatch, other):
    """A good object in the wrong place lacks the probe's knobs or maps: that probe is off, the others are on."""
    real = objects.read
    data = path_of(other).read_bytes() if other == "uprobe" else real(other)
    monkeypatch.setattr(objects, "read", lambda name: data if name == "file_open_trace" else real(name))
    with manager_of(log) as manager:
        started(manager)
        assert [skipped.probe for skipped in manager.skipped] == ["file_open"]
        assert "is not that of this probe" in manager.skipped[0].reason
        assert set(manager.attached) == ON - {"file_open"}


def test_manager_goes_on_without_a_probe_that_fails_to_attach(log, monkeypatch, tmp_path):
    """Also when the kernel takes the program, but not the link."""
    import pybpfload
    from pybpfload.errors import AttachError

    real = pybpfload.attach

    def attach(program):
        if program.name == "on_sched_process_exec":
            raise AttachError(program.name, "sched_process_exec", "not today")
        return real(program)

    monkeypatch.setattr(pybpfload, "attach", attach)
    with opens(str(tmp_path / "x.pem")) as workload, manager_of(log, pid=workload.pid) as manager:
        started(manager)
        workload.go()
        assert {event.kind.name for event in poll_all(manager)} == {"file_open", "process_exit"}
        assert [each.probe for each in manager.skipped] == ["process_exec"]
    assert "not today" in log.getvalue()


def test_manager_without_any_probe_is_an_error(log, monkeypatch):
    """Exit code 5, after a line for each."""
    break_object(monkeypatch, *(probe.object_name for probe in PROBES))
    with manager_of(log) as manager, pytest.raises(LoadError) as caught:
        manager.load_programs()
    assert caught.value.exit_code == 5
    assert len(log.getvalue().splitlines()) >= len(PROBES)


def test_manager_never_reports_its_own_process(log, tmp_path):
    """A tracer that saw its own opens could feed on itself."""
    with manager_of(log, own_pid=os.getpid()) as manager, opens(str(tmp_path / "x.pem")) as workload:
        started(manager)
        for _ in range(7):
            with pytest.raises(FileNotFoundError):
                os.open(tmp_path / "own.pem", os.O_RDONLY)
        workload.go()
        events = poll_all(manager)
    pids = {event.fields["pid"] for event in events}
    assert workload.pid in pids
    assert os.getpid() not in pids


def test_poll_events_without_events_returns_in_time(log):
    """It never blocks longer than asked for."""
    with subprocess.Popen(["sleep", "600"]) as idle, manager_of(log, pid=idle.pid) as manager:
        started(manager)
        began = time.monotonic()
        assert manager.poll_events() == []
        assert 0.009 <= time.monotonic() - began < 0.5
        idle.kill()


def test_poll_events_takes_at_most_a_batch(log, tmp_path):
    """The rest waits for the next call; nothing is lost in between."""
    with (
        cgroup() as group,  # what the host sends over its network would be counted as well
        opens(str(tmp_path / "x.pem"), 2 * BATCH + 51) as workload,
        manager_of(log, pid=workload.pid, cgroup=str(group)) as manager,
    ):
        started(manager)
        workload.go()
        sizes = []
        while batch := manager.poll_events():
            sizes.append(len(batch))
            assert bool(manager.fill) == (sum(sizes) < 2 * BATCH + 52)
        assert (sizes[:2], sum(sizes)) == ([BATCH, BATCH], 2 * BATCH + 52)  # the opens, and the end of the process
        assert manager.get_stats()[:3] == (2 * BATCH + 52, 0, 0)


def test_overload_is_counted_to_the_event(log, tmp_path):
    """Nobody reads, the ring fills up: received and lost add up to what happened, and a warning says so."""
    count = 2003
    path = f"{tmp_path}/{'./' * 1900}x.pem"
    with (
        cgroup() as group,
        opens(path, count) as workload,
        manager_of(log, pid=workload.pid, cgroup=str(group)) as manager,
    ):
        started(manager)
        workload.go()
        received = [event for event in poll_all(manager) if event.kind.name == "file_open"]
        stats = manager.get_stats()
    sent, lost, unread = stats.by_kind["file_open"]
    assert lost > 0
    assert (sent, len(received) + lost, unread) == (count, count, 0)
    assert stats.sent == stats.processed + stats.dropped
    warnings = [line for line in log.getvalue().splitlines() if " lost " in line]
    assert len(warnings) == 1
    assert f"{lost} file_open" in warnings[0]
    # the last words of the process did not fit either, or they did
    assert stats.dropped in {lost, lost + 1}


def test_stats_outlive_the_cleanup(log, tmp_path):
    """The summary is written when everything is gone."""
    with opens(str(tmp_path / "x.pem"), 13) as workload:
        manager = started(manager_of(log, pid=workload.pid))
        workload.go()
        poll_all(manager)
        manager.cleanup()
        assert manager.get_stats().processed == 14
        assert manager.poll_events() == []


def test_detach_leaves_what_is_in_the_ring(log, tmp_path):
    """What happened before the end comes out, what happens after it does not."""
    before, after = opens(str(tmp_path / "x.pem"), 13), opens(str(tmp_path / "x.pem"), 7)
    with before, after, manager_of(log) as manager:
        started(manager)
        before.go()
        manager.detach_programs()
        after.go()
        pids = [event.fields["pid"] for event in poll_all(manager)]
    assert pids.count(before.pid) == 14
    assert after.pid not in pids


def test_cleanup_can_be_called_at_any_time_and_again(log):
    """Before anything, in the middle, twice, and after destroy."""
    manager_of(log).cleanup()
    manager = manager_of(log)
    manager.load_programs()
    manager.cleanup()
    manager.cleanup()
    manager = started(manager_of(log))
    manager.destroy()
    manager.destroy()
    manager.cleanup()
    assert manager.attached == ()


def test_cleanup_that_hangs_is_given_up(log, monkeypatch):
    """A kernel that takes its time must not hold up the end of the program."""
    from tracer import manager as module

    monkeypatch.setattr(module, "CLEANUP_S", 0.05)
    manager = started(manager_of(log))
    link = manager._loaded[0].links[0]
    real = link.close
    release = []

    def close():
        wait_until(lambda: release, "release")
        real()

    monkeypatch.setattr(link, "close", close)
    began = time.monotonic()
    manager.cleanup()
    assert time.monotonic() - began < 5
    assert "clean-up: not done" in log.getvalue()
    release.append(True)
    names = ("cleanup", "detach")
    wait_until(lambda: not any(t.name in names for t in threading.enumerate()), "the rest of the clean-up")


def test_error_while_filling_maps_leaves_nothing(log):
    """A probe whose targets cannot be set is off like any other."""

    def targets(maps):
        raise TracerError("no targets")

    probe = PROBES[0]._replace(targets=targets)
    with manager_of(log, probes=(probe, *PROBES[1:])) as manager:
        started(manager)
        assert len(manager.attached) == len(PROBES) - 1
        assert manager.poll_events(timeout_s=0) is not None
