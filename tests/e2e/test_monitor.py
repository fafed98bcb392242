"""`crypto-tracer monitor` on this kernel: what processes do is what comes out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.support.gates import require_tool
from tests.support.workloads import Tracer, Workload, of_kind, opens, run_for_pid, wait_until

pytestmark = pytest.mark.kernel

PRIME = 997
NOBODY = "65534"


@pytest.fixture
def cert(tmp_path):
    """A file with the name of a certificate."""
    path = tmp_path / "server.pem"
    path.write_text("not really one\n")
    return str(path)


def one(events, kind):
    (event,) = of_kind(events, kind)
    return event


def stopped(tracer, *pids):
    """Its events of these processes, after a regular end."""
    assert tracer.stop() == 130
    return tracer.events(*pids)


def test_monitor_counts_a_prime_number_of_opens_exactly(cert):
    """None is lost, none is told twice, although the tracer is stopped right after the last one."""
    with opens(cert, PRIME) as workload, Tracer("--pid", str(workload.pid), "--no-redact") as tracer:
        assert workload.go() == f"{PRIME}\n"
        events = of_kind(stopped(tracer, workload.pid), "file_open")
        assert tracer.stderr[-1].endswith(", 0 lost")
    assert len([event for event in events if event["file"] == cert]) == PRIME
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)


def test_monitor_open_of_certificate_has_every_value(cert):
    """Each member, against what the test knows of the process."""
    with opens(cert) as workload, Tracer("--no-redact") as tracer:
        exe = os.readlink(f"/proc/{workload.pid}/exe")
        comm = Path(f"/proc/{workload.pid}/comm").read_text().rstrip("\n")
        status = os.stat(cert)
        before = datetime.now(timezone.utc)
        workload.go()
        after = datetime.now(timezone.utc)
        event = one(stopped(tracer, workload.pid), "file_open")
    happened = datetime.strptime(event.pop("timestamp"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert before <= happened <= after
    assert event == {
        "event_type": "file_open",
        "pid": workload.pid,
        "uid": 0,
        "process": comm,
        "exe": exe,
        "file": cert,
        "file_type": "certificate",
        "flags": "O_RDONLY|O_CLOEXEC",
        "result": 0,
        "error": None,
        "file_path": os.path.realpath(cert),
        "inode": status.st_ino,
        "device": f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}",
        "mode": f"{status.st_mode & 0o7777:04o}",
        "cgroup": event["cgroup"],
        "container": None,
        "host_pid": workload.pid,
        "pod": None,
        "pod_name": None,
        "container_name": None,
    }
    assert event["cgroup"] > 0


def test_monitor_missing_pem_shows_enoent(tmp_path):
    """The question of every failing service: which file did it not find?"""
    missing = str(tmp_path / "missing.pem")
    with opens(missing) as workload, Tracer("--no-redact") as tracer:
        workload.go()
        event = one(stopped(tracer, workload.pid), "file_open")
    assert (event["file"], event["result"], event["error"]) == (missing, 2, "ENOENT")


def test_monitor_unreadable_key_shows_eacces(tmp_path):
    """And: which one was it not allowed to read?"""
    setpriv = require_tool("setpriv")
    key = tmp_path / "server.key"
    key.touch(mode=0o600)
    with Tracer("--no-redact") as tracer:
        as_nobody = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        pid, done = run_for_pid([*as_nobody, "cat", str(key)])
        events = stopped(tracer, pid)
    assert done.returncode == 1
    event = one(events, "file_open")
    assert (event["uid"], event["process"], event["file_type"]) == (65534, "cat", "private_key")
    assert (event["result"], event["error"]) == (13, "EACCES")


def test_monitor_cat_shows_exec_open_and_exit_in_order(cert):
    """The whole life of a short process, with its executable although it is gone by then."""
    with Tracer("--no-redact") as tracer:
        pid, _ = run_for_pid(["cat", cert])
        events = stopped(tracer, pid)
    assert [event["event_type"] for event in events] == ["process_exec", "file_open", "process_exit"]
    assert {event["process"] for event in events} == {"cat"}
    assert {os.path.basename(event["exe"]) for event in events} == {"cat"}
    begun, _, ended = events
    assert begun["cmdline"] == f"cat {cert}"
    assert (begun["ppid"], begun["gid"], begun["argv_truncated"]) == (os.getpid(), 0, False)
    assert (ended["exit_code"], ended["signal"], ended["core_dumped"]) == (0, None, False)


THREAD_ENDS_PROCESS = """
import _thread
_thread.start_new_thread(os._exit, (7,))
lock = _thread.allocate_lock()
lock.acquire()
lock.acquire()
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os._exit(3)", (3, None)),
        ("os.kill(os.getpid(), 15)", (0, "SIGTERM")),
        ("os.kill(os.getpid(), 9)", (0, "SIGKILL")),
        # the whole process ends with the status that one of its threads gives it
        (THREAD_ENDS_PROCESS, (7, None)),
    ],
    ids=["exit", "SIGTERM", "SIGKILL", "thread"],
)
def test_monitor_tells_exit_code_and_signal_apart(code, expected):
    """As wait(2) does, and once for a process."""
    with Workload(code) as workload, Tracer() as tracer:
        workload.go()
        event = one(stopped(tracer, workload.pid), "process_exit")
    assert (event["exit_code"], event["signal"]) == expected


def test_monitor_exec_gives_arguments_back_and_marks_truncation():
    """Quoted so that they can be told apart; what does not fit into 4096 bytes is cut and said to be."""
    with Tracer("--no-redact") as tracer:
        short, _ = run_for_pid(["sh", "-c", 'exit "$1"', "a name", "0"])
        empty, _ = run_for_pid(["true", "", "x", ""])
        long, _ = run_for_pid(["true", "x" * 5000])
        events = of_kind(stopped(tracer, short, empty, long), "process_exec")
    lines = {event["pid"]: (event["cmdline"], event["argv_truncated"]) for event in events}
    assert lines[short] == ("sh -c 'exit \"$1\"' 'a name' 0", False)
    assert lines[empty] == ("true '' x ''", False)
    assert lines[long] == ("true " + "x" * 4091, True)


def test_monitor_exec_chain_tells_each_program(cert):
    """`env` becomes `cat`: two programs, one process, each with its own executable."""
    with Tracer("--no-redact") as tracer:
        pid, _ = run_for_pid(["env", "cat", cert])
        events = stopped(tracer, pid)
    assert [os.path.basename(event["exe"]) for event in of_kind(events, "process_exec")] == ["env", "cat"]
    assert os.path.basename(one(events, "file_open")["exe"]) == "cat"


HOSTILE = [
    b"new\nline.pem",
    b"\x1b]0;owned\x07.pem",
    b"\xff\xfe\x80.pem",
    b'quote"back\\slash.pem',
    "Schlüssel-鍵-\u2028.pem".encode(),
    b"x" * 251 + b".pem",
    b"tab\tdel\x7f.PEM",
]


def test_monitor_hostile_names_come_back_byte_for_byte(tmp_path):
    """Valid JSON for any bytes, and nothing of them is lost."""
    code = """
for name in sys.argv[2:]:
    try:
        os.open(bytes.fromhex(sys.argv[1]) + b"/" + bytes.fromhex(name), os.O_RDONLY)
    except OSError:
        pass
"""
    directory = os.fsencode(tmp_path)
    hostile = Workload(code, directory.hex(), *(name.hex() for name in HOSTILE))
    with hostile as workload, Tracer("--no-redact") as tracer:
        workload.go()
        events = of_kind(stopped(tracer, workload.pid), "file_open")
    files = [event["file"].encode("utf-8", "surrogateescape") for event in events]
    assert files == [directory + b"/" + name for name in HOSTILE]


def test_monitor_longest_path_comes_back_whole(tmp_path):
    """4,095 bytes, the longest name that the kernel takes."""
    path = "/" + "./" * 2044 + "x.pem"
    assert len(path) == 4094
    path = "/" + path
    with opens(path) as workload, Tracer("--no-redact") as tracer:
        workload.go()
        assert one(stopped(tracer, workload.pid), "file_open")["file"] == path


def test_monitor_redacts_unless_told_otherwise():
    """Users' names and secrets stay out of the output by default."""
    for options, file, argument in (
        ((), "/home/USER/x.pem", "--password=***"),
        (("--no-redact",), "/home/alice/x.pem", "--password=hunter2"),
    ):
        with opens("/home/alice/x.pem") as workload, Tracer(*options) as tracer:
            workload.go()
            pid, _ = run_for_pid(["true", "--password=hunter2"])
            events = stopped(tracer, workload.pid, pid)
        assert one(events, "file_open")["file"] == file
        assert one(of_kind(events, "process_exec"), "process_exec")["cmdline"] == f"true {argument}"


def test_monitor_pid_shows_only_that_process_and_ends_with_it(cert):
    """Two processes do the same; one is watched, and when it is gone there is no more to wait for."""
    with opens(cert) as watched, opens(cert) as other, Tracer("--pid", str(watched.pid)) as tracer:
        other.go()
        watched.go()
        assert tracer.wait() == 0
        assert {event["pid"] for event in tracer.events()} == {watched.pid}
        assert [event["event_type"] for event in tracer.events()] == ["file_open", "process_exit"]
    assert f"crypto-tracer: process {watched.pid} ended" in tracer.stderr


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_monitor_signal_ends_it_with_its_exit_code(signum, code):
    """As shells count: 128 + the signal's number."""
    with Tracer() as tracer:
        began = time.monotonic()
        assert tracer.stop(signum) == code
        assert time.monotonic() - began < 5
    assert re.fullmatch(r"crypto-tracer: \d+ events in \d+\.\d s, \d+ lost", tracer.stderr[-1])


def test_monitor_signal_during_start_ends_it_cleanly():
    """Ctrl-C right after Enter: no traceback, whatever it was doing."""
    tracer = Tracer()
    try:
        wait_until(lambda: catches_sigterm(tracer.pid), "handlers")
        assert tracer.stop() == 130
        assert not any("Traceback" in line for line in tracer.stderr)
    finally:
        tracer.close()


def catches_sigterm(pid):
    """Python itself does not: this is the tracer's own handler."""
    with open(f"/proc/{pid}/status") as status:
        (mask,) = [int(line.split()[1], 16) for line in status if line.startswith("SigCgt:")]
    return mask >> (signal.SIGTERM - 1) & 1


def test_monitor_duration_ends_it_with_success():
    """The time counts from ready on."""
    began = time.monotonic()
    with Tracer("--duration", "0.3") as tracer:
        assert tracer.wait() == 0
    assert time.monotonic() - began >= 0.3


def test_monitor_quiet_says_nothing_on_stderr():
    """Unless something is wrong."""
    tracer = Tracer("--quiet", "--duration", "0.1")
    try:
        assert tracer.wait() == 0
        assert tracer.stderr == []
    finally:
        tracer.close()


def test_monitor_ready_line_is_what_scripts_wait_for():
    """Its form is a promise."""
    with Tracer("--duration", "0.1") as tracer:
        assert re.fullmatch(r"crypto-tracer: ready \(9 of 9 probes, \d+\.\d\d s\)", tracer.stderr[0])


def test_monitor_from_zipapp_is_the_same(zipapp, cert):
    """The single file, run as users do, with isolated Python and from another directory."""
    with opens(cert) as workload, Tracer("--no-redact", program=(sys.executable, "-I", str(zipapp))) as tracer:
        workload.go()
        assert one(stopped(tracer, workload.pid), "file_open")["file"] == cert


def test_monitor_output_can_be_read_by_jq(cert):
    """The C tool's documents are full of jq."""
    jq = require_tool("jq")
    with opens(cert) as workload, Tracer("--no-redact") as tracer:
        workload.go()
        events = stopped(tracer, workload.pid)
    lines = "".join(json.dumps(event) + "\n" for event in events)
    query = ["-r", 'select(.event_type == "file_open") | "\\(.process) \\(.file)"']
    done = subprocess.run([jq, *query], input=lines, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == cert
