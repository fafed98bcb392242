"""`profile` and `run`: one document of what real processes did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.runs import PROGRAM, document, run_any, run_tracer
from tests.support.schemas import check_document
from tests.support.sources import ROOT
from tests.support.workloads import Workload, opens, wait_until

pytestmark = pytest.mark.kernel


def profile_of(text):
    found = document(text)
    check_document("profile", found)
    assert found["statistics"]["lost"] == 0
    return found


def run_command(*command, options=("--no-redact",), code=0):
    return profile_of(run_tracer("run", "-q", *options, "--", *command, code=code))


def file_row(found, path):
    (row,) = [row for row in found["files_accessed"] if row["path"] == path]
    return row


@pytest.fixture
def started():
    """Starts a `profile`, and gives it back once it is ready."""
    running = []

    def start(*arguments):
        process = subprocess.Popen(
            [*PROGRAM, "profile", "--no-redact", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        running.append(process)
        lines = []
        while not any("ready (" in line for line in lines):
            line = process.stderr.readline()
            assert line, f"it ended before it was ready: {lines}"
            lines.append(line)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_run_counts_opens_of_the_command_and_its_children_exactly(tmp_path):
    """From the first instruction to the last."""
    pem, key = str(tmp_path / "a.pem"), str(tmp_path / "b.key")
    (tmp_path / "a.pem").touch()
    script = f"for i in 1 2 3 4 5 6 7; do cat {pem}; done; (cat {key}; cat {key}) & wait; exit 0"
    found = run_command("sh", "-c", script)
    row = file_row(found, pem)
    assert (row["access_count"], row["failed_count"], row["errors"], row["mode"]) == (7, 0, [], "read")
    assert row["first_access"] < row["last_access"]
    assert len(row["pids"]) == 7
    missing = file_row(found, key)
    assert (missing["access_count"], missing["failed_count"], missing["errors"]) == (2, 2, ["ENOENT"])
    assert found["process"]["cmdline"].startswith("sh -c ")
    assert sorted(row["name"] for row in found["processes"]).count("cat") == 9


def test_run_shows_libraries_with_their_time_of_loading():
    """The command is not there before, so none is without."""
    found = run_command("sh", "-c", "openssl version >&2")
    names = {row["name"] for row in found["libraries"]}
    assert {"libssl", "libcrypto"} <= names
    assert all(row["load_time"] for row in found["libraries"])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command-here"], 127),
        (["/etc/passwd"], 126),
    ],
    ids=["true", "exit 7", "SIGKILL", "not found", "not executable"],
)
def test_run_exits_with_the_status_of_the_command(command, code):
    """As shells have it; a command that cannot run leaves no document."""
    done = run_any("run", "-q", "--", *command)
    assert done.returncode == code, done.stderr
    if code in (126, 127):
        assert done.stdout == ""
        assert "cannot run" in done.stderr
    else:
        ended = profile_of(done.stdout)["process"]
        assert (ended["exit_code"], ended["signal"]) == ((None, "SIGKILL") if code == 137 else (code, None))


def test_run_takes_options_of_the_command_without_dashes():
    """`run cat -v` and `run -- cat -v` are the same."""
    done = run_any("run", "-q", "-o", os.devnull, "sh", "-c", "echo -q $*", "--", "x", "--", "-v")
    assert (done.returncode, done.stdout) == (0, "-q x -- -v\n")


def test_run_leaves_the_end_to_the_command(tmp_path):
    """SIGTERM goes to the command, which may have something to do; the document is written."""
    code = (
        "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(5))\nprint('up', flush=True)\ntime.sleep(60)"
    )
    out = tmp_path / "x.json"
    process = subprocess.Popen(
        [*PROGRAM, "run", "-q", "-o", str(out), "--", sys.executable, "-I", "-S", "-c", code],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 5
    finally:
        process.kill()
        process.communicate()
    assert profile_of(out.read_text())["process"]["exit_code"] == 5


def test_run_without_privilege_runs_nothing(tmp_path):
    """What was to be traced must not happen untraced."""
    dropped = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    done = run_any("run", "--", "touch", str(tmp_path / "done"), prefix=dropped)
    assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_run_without_command_is_wrong_use():
    """With how it is done."""
    assert "crypto-tracer run -- COMMAND" in run_any("run").stderr


def test_run_hides_secrets_everywhere(tmp_path):
    """Arguments, paths, words; in all formats."""
    (tmp_path / "home" / "alice").mkdir(parents=True)
    path = tmp_path / "home" / "alice" / "zebra-1.pem"
    path.touch()
    config = tmp_path / "config"
    config.write_text('{"redact": {"words": ["zebra"]}}')
    command = ["sh", "-c", f"cat {path}; exit 0", "--password=hunter2", "--token", "tiger3"]
    for shape in ("json-pretty", "json-stream", "json-array", "summary"):
        text = run_tracer("run", "-q", "-f", shape, "--config", str(config), "--", *command)
        assert not [secret for secret in ("alice", "zebra", "hunter2", "tiger3") if secret in text]
        assert "/home/USER/***-1.pem" in text


def test_profile_of_a_process_ends_with_it(tmp_path, started):
    """Its libraries from before have no time of loading; its opens are counted."""
    path = str(tmp_path / "x.pem")
    with Workload("import _hashlib\nprint('up', flush=True)\nsys.stdin.readline()") as other, opens(path, 11) as one:
        other.start()
        assert other._process.stdout.readline() == "up\n"
        process = started("-p", f"{one.pid},{other.pid}")
        one.go()
        other.go()
        text, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    found = profile_of(text)
    assert file_row(found, path)["access_count"] == 11
    assert {row["pid"] for row in found["processes"]} == {one.pid, other.pid}
    (crypto,) = [row for row in found["libraries"] if row["name"] == "libcrypto"]
    assert (crypto["load_time"], crypto["pids"]) == (None, [other.pid])


def test_profile_follows_children_when_asked_and_only_then(tmp_path, started):
    """Children of children, too."""
    path = str(tmp_path / "x.pem")
    code = "os.system(f\"sh -c 'cat {sys.argv[1]}; true'\")"
    for option, count in (("--follow-children", 1), ("-v", 0)):
        with Workload(code, path) as workload:
            process = started("-p", str(workload.pid), option)
            workload.go()
            text, _ = process.communicate(timeout=30)
        found = profile_of(text)
        assert len([row for row in found["files_accessed"] if row["path"] == path]) == count
        assert len(found["processes"]) > 2 if count else len(found["processes"]) == 1


def test_profile_of_a_name_takes_all_that_have_it(started):
    """Not the first one alone."""
    code = "open('/proc/self/comm', 'w').write(sys.argv[1])\nprint('up', flush=True)\nsys.stdin.readline()"
    name = f"ct-{os.getpid()}"
    with Workload(code, name + "-a") as first, Workload(code, name + "-b") as second:
        for workload in (first, second):
            workload.start()
            assert workload._process.stdout.readline() == "up\n"
        process = started("-n", name)
        first.go()
        second.go()
        text, _ = process.communicate(timeout=30)
    found = profile_of(text)
    assert {row["pid"] for row in found["processes"]} == {first.pid, second.pid}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "which processes"),
        (("-n", "no-such-process"), 1, "no process that runs has the name"),
        (("-p", "4194303"), 1, "no process has the id"),
    ],
)
def test_profile_of_nobody_is_an_error(arguments, code, words):
    """At once, and not after half a minute."""
    began = time.monotonic()
    done = run_any("profile", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert time.monotonic() - began < 20


def test_profile_signal_writes_the_document(started):
    """Ctrl-C is how most profiles end."""
    with Workload("sys.stdin.readline()") as workload:
        process = started("-p", str(workload.pid))
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=30)
        assert process.returncode == 130
        assert profile_of(text)["process"]["pid"] == workload.pid


def test_recording_gives_every_view_again(tmp_path):
    """Without privilege: the same events, the same counts; filters work on it, too."""
    record, pem = tmp_path / "x.rec", str(tmp_path / "new\nline\x1b.pem")
    live = profile_of(
        run_tracer(
            "run", "-q", "--no-redact", "--record", str(record), "--", "sh", "-c", 'cat "$0"; openssl version >&2', pem
        )
    )
    dropped = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    def replay(command, *arguments):
        return run_tracer(command, "-q", "--no-redact", "--replay", str(record), *arguments, prefix=dropped)

    again = profile_of(replay("profile"))
    for name in ("libraries", "files_accessed", "api_calls", "statistics", "tls_handshakes"):
        assert again[name] == live[name], name
    events = [json.loads(line) for line in replay("monitor").splitlines()]
    assert len(events) == live["statistics"]["total_events"]
    assert {event["event_type"] for event in map(json.loads, replay("libs").splitlines())} == {"lib_load"}
    (opened,) = map(json.loads, replay("files", "-F", "*.pem").splitlines())
    assert (opened["file"], opened["error"]) == (pem, "ENOENT")
    assert replay("files", "-n", "nobody") == ""
    assert json.loads(replay("monitor", "-f", "json-array")) == events


def test_record_keeps_events_and_shows_none(tmp_path):
    """Those that repeat others, too: as many as there were, each at its time."""
    record, pem = tmp_path / "x.rec", str(tmp_path / "x.pem")
    code = (
        "import time\nfor i in range(503):\n try: os.open(sys.argv[1], 0)\n except OSError: pass\n"
        " if i % 100 == 99: time.sleep(0.02)"
    )
    with Workload(code, pem) as workload:
        command = [*PROGRAM, "record", "-p", str(workload.pid), "-F", pem, str(record)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            assert "ready" in process.stderr.readline()
            workload.go()
            out, said = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        assert "503 events" in said
    lines = [json.loads(line) for line in run_tracer("monitor", "-q", "--replay", str(record)).splitlines()]
    assert [line["file"] for line in lines] == [pem] * 503
    times = [line["timestamp"] for line in lines]
    assert times == sorted(times)
    assert len(set(times)) > 400
    assert run_tracer("monitor", "-q", "--replay", str(record), "-p", "1") == ""
    assert json.loads(run_tracer("profile", "-q", "--replay", str(record)))["statistics"]["total_events"] == 503


def test_monitor_reopens_its_file_after_sighup(tmp_path):
    """As those who rotate logs expect; nothing is lost."""
    path = tmp_path / "events"
    missing = str(tmp_path / "x.pem")
    command = [*PROGRAM, "monitor", "-v", "-F", missing, "-f", "csv", "-o", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while "ready (" not in process.stderr.readline():
            pass
        with opens(missing, 3) as workload:
            workload.go()
        wait_until(lambda: path.read_text().count("\n") == 4, "three rows and the head")
        path.rename(tmp_path / "events.1")
        process.send_signal(signal.SIGHUP)
        wait_until(path.exists, "a new file")
        with opens(missing, 2) as workload:
            workload.go()
        wait_until(lambda: path.read_text().count("\n") == 3, "two rows and the head")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.communicate()
