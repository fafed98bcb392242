"""How the tracer ends: refusals, outputs that fail, and what stays in the kernel."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from tests.support.gates import bpf_object_exists, require_tool, skip_or_fail
from tests.support.sources import ROOT
from tests.support.workloads import Tracer, opens, parse_lines, wait_until
from tracer.objects import architecture
from tracer.probes import PROBES

SYSTEM_PYTHON = "/usr/bin/python3"
NAMES = {
    "on_sys_exit",
    "on_sched_process_exec",
    "on_sched_process_exit",
    "on_sched_process_fork",
    "on_dlopen",
    "on_dlopen_return",
    "on_egress",
    "on_ingress",
    "on_entry",
    "on_return",
}


def run(*arguments, prefix=(), program=(sys.executable, "-m", "tracer"), cwd=ROOT):
    """The command line, to its end."""
    return subprocess.run(
        [*prefix, *program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no command"),
        (("no-such-command",), "invalid choice: 'no-such-command'"),
        (("monitor", "--no-such-option"), "unrecognized arguments: --no-such-option"),
        (("monitor", "--pid", "-1"), "expected a process id"),
        (("monitor", "--pid", "0"), "expected a process id"),
        (("monitor", "--pid", "x"), "expected a process id"),
        (("monitor", "--duration", "-1"), "expected a number of seconds"),
        (("monitor", "--duration", "nan"), "expected a number of seconds"),
        (("monitor", "--format", "xml"), "invalid choice: 'xml'"),
        (("monitor", "-v", "-q"), "not allowed with"),
    ],
)
def test_bad_arguments_end_with_2_and_a_hint(arguments, message):
    """What is wrong, and where to read on."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("crypto-tracer: error: ")
    assert message in done.stderr
    assert done.stderr.splitlines()[-1].startswith("  hint: ")


@pytest.mark.kernel
@pytest.mark.parametrize("who", ["nobody", "root without capabilities"])
def test_no_privilege_ends_with_3_and_a_hint(who, zipapp):
    """Says what it needs, who it is, and what to do."""
    setpriv = require_tool("setpriv")
    if who == "nobody":
        # The interpreter of the tests, and their directories, may lie where nobody else can read them.
        if not os.access(SYSTEM_PYTHON, os.X_OK):
            skip_or_fail(f"no {SYSTEM_PYTHON}")
        prefix = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            program = shutil.copy(zipapp, directory)
            done = run("monitor", prefix=prefix, program=(SYSTEM_PYTHON, "-I", program), cwd="/")
    else:
        done = run("monitor", prefix=(setpriv, "--bounding-set=-all", "--inh-caps=-all"))
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "tracing needs CAP_BPF and CAP_PERFMON" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("  hint: ")


@pytest.mark.kernel
def test_no_privilege_leaves_no_output_file(tmp_path):
    """A run that cannot be must not look like one without events."""
    setpriv = require_tool("setpriv")
    path = tmp_path / "events.jsonl"
    done = run("monitor", "--output", str(path), prefix=(setpriv, "--bounding-set=-all", "--inh-caps=-all"))
    assert done.returncode == 3
    assert not path.exists()


@pytest.mark.kernel
def test_kernel_without_btf_ends_with_4_and_a_hint():
    """As on a kernel built without it; here it is hidden in a mount namespace of its own."""
    unshare = require_tool("unshare")
    hide = 'mount -t tmpfs none /sys/kernel/btf && exec "$@"'
    done = run("monitor", prefix=(unshare, "--mount", "sh", "-c", hide, "sh"))
    assert (done.returncode, done.stdout) == (4, "")
    assert "BTF" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("  hint: ")


@pytest.mark.kernel
def test_no_probe_at_all_ends_with_5(tmp_path):
    """An installation whose objects are broken: a line for each, then the end."""
    for package in ("tracer", "pybpfload"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    objects = tmp_path / "tracer" / "_objects" / architecture()
    objects.mkdir(parents=True)
    wanted = [probe for probe in PROBES if probe.sends and probe.name != "api_count"]  # that one is for --deep
    for probe in PROBES:
        (objects / f"{probe.object_name}.bpf.o").write_bytes(b"rubbish")
    done = run("monitor", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, "")
    off = [line for line in done.stderr.splitlines() if line.startswith("crypto-tracer: warning: probe ")]
    assert len(off) == len(wanted)
    assert "crypto-tracer: error: cannot load any probe" in done.stderr


@pytest.mark.kernel
def test_process_that_does_not_exist_ends_with_1():
    """A typo in the pid must not look like a quiet process."""
    child = subprocess.Popen(["true"])
    child.wait()
    done = run("monitor", "--pid", str(child.pid))
    assert done.returncode == 1
    assert f"no process has the id {child.pid}" in done.stderr


@pytest.mark.kernel
def test_version_and_help_on_a_closed_pipe_end_quietly():
    """`crypto-tracer --help | true` leaves no complaint."""
    for option in ("--version", "--help"):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "tracer", option],
            stdout=writer,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.kernel
def test_kill_9_leaves_nothing_in_the_kernel():
    """Seconds later no program, map or link of it is there."""
    with Tracer() as tracer:
        ids = bpf_ids_of(tracer.pid)
        kinds = [kind for kind, _ in ids]
        assert kinds.count("prog") >= 3
        assert kinds.count("link") >= 5
        assert kinds.count("map") >= 4
        assert all(bpf_object_exists(*each) for each in ids)
        tracer.stop(signal.SIGKILL)
        wait_until(lambda: not any(bpf_object_exists(*each) for each in ids), "nothing left", within_s=5.0)


@pytest.mark.kernel
def test_regular_end_leaves_nothing_in_the_kernel():
    """Neither does SIGTERM."""
    with Tracer() as tracer:
        ids = bpf_ids_of(tracer.pid)
        assert tracer.stop(signal.SIGTERM) == 143
        wait_until(lambda: not any(bpf_object_exists(*each) for each in ids), "nothing left", within_s=5.0)


def bpf_ids_of(pid):
    """Kind and id of all BPF objects that a process holds."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{name}") as lines:
            pairs = [line.split(":") for line in lines if "_id:" in line]
        found |= {(key[: -len("_id")], int(value)) for key, value in pairs if key in {"prog_id", "map_id", "link_id"}}
    return {(kind, number) for kind, number in found if number}


@pytest.mark.kernel
def test_bpftool_shows_programs_and_maps_with_names_and_types():
    """An administrator can see what we have put into the kernel, and reads our tables in clear."""
    bpftool = require_tool("bpftool")

    def show(*arguments):
        return json.loads(subprocess.run([bpftool, "-j", *arguments], capture_output=True, check=True).stdout)

    with Tracer() as tracer:
        ids = bpf_ids_of(tracer.pid)
        programs = [show("prog", "show", "id", str(number)) for kind, number in ids if kind == "prog"]
        maps = [show("map", "show", "id", str(number)) for kind, number in ids if kind == "map"]
        assert {program["name"] for program in programs} == NAMES
        assert all("btf_id" in program for program in programs)
        names = {each["name"]: each for each in maps}
        assert {"events", "counters", "patterns", "directories"} <= set(names)
        assert [each["name"] for each in maps].count("events") == 1
        (pem,) = [
            entry
            for entry in show("map", "dump", "id", str(names["patterns"]["id"]))
            if text_of(entry["formatted"]["key"]["text"]) == ".pem"
        ]
        assert pem["formatted"]["value"] == 1


def text_of(value):
    """What bpftool makes of an array of char: a string, or a list of characters and numbers."""
    if isinstance(value, str):
        return value
    return "".join(c if isinstance(c, str) else chr(c) for c in value).rstrip("\0")


def piped(workload):
    """A tracer of one process that writes into a pipe."""
    return Tracer("--pid", str(workload.pid), stdout=subprocess.PIPE)


def writing(path, workload):
    """A tracer of one process that writes into a file."""
    return Tracer("--pid", str(workload.pid), "--output", str(path))


@pytest.mark.kernel
def test_reader_that_goes_away_ends_it_quietly(tmp_path):
    """`crypto-tracer monitor | head -1` ends by itself, with success."""
    with opens(str(tmp_path / "x.pem")) as workload, piped(workload) as tracer:
        workload.start()
        assert json.loads(tracer.process.stdout.readline())["pid"] == workload.pid
        tracer.process.stdout.close()
        assert tracer.wait() == 0
    assert not any("rror" in line for line in tracer.stderr)


@pytest.mark.kernel
def test_reader_that_goes_away_is_noticed_without_events():
    """There may be no next event to find it out with."""
    child = subprocess.Popen(["sleep", "600"])
    try:
        with Tracer("--pid", str(child.pid), stdout=subprocess.PIPE) as tracer:
            tracer.process.stdout.close()
            assert tracer.wait() == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.kernel
def test_reader_that_has_stopped_reading_does_not_hold_up_the_end(tmp_path):
    """The pipe is full and stays full; SIGTERM ends it all the same, and the rest is counted."""
    with opens(str(tmp_path / "x.pem"), 2003) as workload, piped(workload) as tracer:
        workload.go()
        began = time.monotonic()
        assert tracer.stop(signal.SIGTERM) == 1
        assert time.monotonic() - began < 10
        tracer.process.stdout.close()
    assert any("its reader has stopped reading" in line for line in tracer.stderr)
    assert any(" not written" in line for line in tracer.stderr)


@pytest.mark.kernel
def test_output_file_is_appended_to(tmp_path):
    """Two runs, one file, whole lines."""
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with opens(str(tmp_path / "x.pem"), 3) as workload, writing(path, workload) as tracer:
            workload.go()
            assert tracer.wait() == 0
    events = parse_lines(path.read_bytes())
    assert len([event for event in events if event["event_type"] == "file_open"]) == 6


@pytest.mark.kernel
def test_full_disk_ends_with_1_and_counts(tmp_path):
    """/dev/full stands for a disk that is."""
    with opens(str(tmp_path / "x.pem"), 3) as workload, writing("/dev/full", workload) as tracer:
        workload.go()
        assert tracer.wait() == 1
    assert "crypto-tracer: error: cannot write /dev/full: No space left on device" in tracer.stderr
    assert tracer.stderr[-1].startswith("  hint: ")
    assert any(line.endswith(" not written") for line in tracer.stderr)


@pytest.mark.kernel
def test_output_that_cannot_be_opened_ends_before_anything_is_loaded(tmp_path):
    """At once, and with the reason."""
    done = run("monitor", "--output", str(tmp_path / "no" / "such" / "x"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "ready" not in done.stderr
