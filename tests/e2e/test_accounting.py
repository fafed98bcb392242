"""Where each event is: at 50,000 a second, at far too many, and with rights for tracing only."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import tempfile

import pytest

from tests.support.gates import require_tool, skip_or_fail
from tests.support.sandbox import cgroup
from tests.support.workloads import Tracer, Workload, of_kind, opens, paced_opens, wait_until
from tracer.log import NOTES, Log
from tracer.manager import EbpfManager
from tracer.probes import PROBES
from tracer.proc.capabilities import KEPT
from tracer.settings import Settings

pytestmark = pytest.mark.kernel

SYSTEM_PYTHON = "/usr/bin/python3"
SUMMARY = re.compile(r"crypto-tracer: (\d+) events in \d+\.\d s, (\d+) lost")


def test_half_a_million_add_up(tmp_path):
    """Ten seconds of fifty thousand a second: what is written and what is lost are all there were."""
    output = tmp_path / "events.jsonl"
    with (
        cgroup() as group,  # what the host sends over its network would be counted as well
        paced_opens(str(tmp_path / "x.pem"), 50_000, 10) as workload,
        Tracer("--pid", str(workload.pid), "--cgroup", str(group), "--output", str(output)) as tracer,
    ):
        count = workload.go().split()[0]
        assert tracer.wait() == 0
    written = output.read_bytes().count(b'"event_type":"file_open"')
    total, lost = map(int, SUMMARY.fullmatch(tracer.stderr[-1]).groups())
    # The end of the process may be among the lost.
    assert total + lost == int(count) + 1
    assert written in (total, total - 1)


def test_overload_adds_up_to_the_event(tmp_path):
    """A tracer that is stopped cannot read: what it wrote and what it lost is all there was, and it says so."""
    count = 2003
    path = f"{tmp_path}/{'./' * 1900}x.pem"
    with (
        cgroup() as group,
        opens(path, count) as workload,
        Tracer("--pid", str(workload.pid), "--cgroup", str(group)) as tracer,
    ):
        os.kill(tracer.pid, signal.SIGSTOP)
        try:
            workload.go()
        finally:
            os.kill(tracer.pid, signal.SIGCONT)
        assert tracer.wait() == 0
        written = len(tracer.events())
    total, lost = map(int, SUMMARY.fullmatch(tracer.stderr[-1]).groups())
    assert lost > 0
    assert total == written
    # The opens, and the end of the process, which may be among the lost.
    assert written + lost == count + 1
    (warning,) = [line for line in tracer.stderr if " lost " in line and "warning" in line]
    assert f"lost {lost} events so far" in warning
    assert "file_open" in warning


def test_backpressure_is_said_before_anything_is_lost(tmp_path):
    """The ring gets more than half full, and is emptied in time: a warning, and no loss."""
    log = io.StringIO()
    path = f"{tmp_path}/{'./' * 1900}x.pem"
    with cgroup() as group, opens(path, 400) as workload:
        settings = Settings(own_pid=0, pid=workload.pid, cgroup=str(group))
        with EbpfManager.create(PROBES, settings, Log(NOTES, log)) as manager:
            manager.load_programs()
            manager.attach_programs()
            workload.go()
            assert 0.5 < manager.fill < 1
            received = 0
            while batch := manager.poll_events(max_events=10):
                received += len(batch)
            wait_until(lambda: manager.poll_events() or "full" in log.getvalue(), "warning")
            stats = manager.get_stats()
    assert stats.dropped == 0
    assert stats.sent == stats.processed == received
    assert re.search(r"the ring buffer is \d\d% full", log.getvalue())


def test_losses_are_said_once_a_second_at_most(tmp_path):
    """However many there are."""
    log = io.StringIO()
    path = f"{tmp_path}/{'./' * 1900}x.pem"
    with Workload(f"for _ in range(20000):\n try: os.open({path!r}, 0)\n except OSError: pass") as workload:
        settings = Settings(own_pid=0, pid=workload.pid)
        with EbpfManager.create(PROBES, settings, Log(NOTES, log)) as manager:
            manager.load_programs()
            manager.attach_programs()
            workload.start()
            wait_until(lambda: not manager.poll_events(0, 1) or "lost" in log.getvalue(), "first loss")
            wait_until(lambda: [manager.poll_events(0, 1)] and workload.ended, "end")
            while manager.poll_events(0, 100):
                pass
            lines = [line for line in log.getvalue().splitlines() if "lost" in line]
            stats = manager.get_stats()
    assert len(lines) <= 30
    assert stats.sent == stats.processed + stats.dropped


CAPABILITIES = ("bpf", "perfmon", "sys_ptrace", "dac_read_search")


@pytest.mark.parametrize("count", [4, 2])
def test_runs_with_capabilities_for_tracing_only(zipapp, count):
    """As nobody, with four capabilities, and with two: then it says what is missing."""
    setpriv = require_tool("setpriv")
    if not os.access(SYSTEM_PYTHON, os.X_OK):
        skip_or_fail(f"no {SYSTEM_PYTHON}")
    some = ",".join(f"+{name}" for name in CAPABILITIES[:count])
    prefix = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
              f"--inh-caps=-all,{some}", f"--ambient-caps=-all,{some}", f"--bounding-set=-all,{some}")  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = (SYSTEM_PYTHON, "-I", shutil.copy(zipapp, directory))
        with (
            opens(f"{directory}/x.pem", 13) as workload,
            Tracer("--pid", str(workload.pid), "--no-redact", prefix=prefix, program=program) as tracer,
        ):
            workload.go()
            assert tracer.wait() == 0
            events = tracer.events()
    found = of_kind(events, "file_open")
    assert len(found) == 13
    warnings = [line for line in tracer.stderr if line.startswith("crypto-tracer: warning: without ")]
    assert len(warnings) == 4 - count
    if count == 4:
        assert {event["exe"] for event in found} == {os.path.realpath("/proc/self/exe")}


def test_gives_up_what_it_needs_no_more():
    """Root is left with what is of use, and its children, if it had any, with no more."""
    with opens("/x.pem") as workload, Tracer("--pid", str(workload.pid)) as tracer:
        with open(f"/proc/{tracer.pid}/status") as lines:
            status = dict(line.split(":", 1) for line in lines)
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == KEPT
        assert bin(KEPT).count("1") == 5
        workload.go()
        assert tracer.wait() == 0
        assert len(of_kind(tracer.events(), "file_open")) == 1


def test_without_proc_it_says_so():
    """A clear line, no traceback."""
    unshare = require_tool("unshare")
    script = 'umount -l /proc && exec "$0" -m tracer monitor -d 1'
    with (
        pytest.raises(AssertionError, match=r"error: .*/proc/self/status.*mount -t proc"),
        Tracer(prefix=(unshare, "--mount", "sh", "-c", script)),
    ):
        pass
