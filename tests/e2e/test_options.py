"""Options of `monitor`, `files` and `libs` on real events."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess

import pytest

from tests.support.runs import PROGRAM, run_any
from tests.support.schemas import check_event
from tests.support.sources import ROOT
from tests.support.workloads import Tracer, Workload, of_kind, opens, wait_until
from tracer.sinks.table import parse_cell

pytestmark = pytest.mark.kernel

HOSTILE = [
    b"new\nline.pem",
    b"\x1b]0;owned\x07\x1b[2J.pem",
    b"\xff\xfe\x80.pem",
    b'quote"back\\slash,.pem',
    b"=1+1.pem",
    b"x" * 251 + b".pem",
    "Schlüssel-鍵-\u2028.pem".encode(),
]
OPEN_ALL = """
for name in sys.argv[2:]:
    for path in (bytes.fromhex(sys.argv[1]) + b"/" + bytes.fromhex(name),):
        try:
            os.open(path, os.O_RDONLY)
        except OSError:
            pass
"""


@pytest.mark.parametrize("shape", ["json-lines", "json-array", "json-pretty", "csv", "summary"])
def test_hostile_names_come_through_every_format(tmp_path, shape):
    """From the kernel to the file, byte for byte; a path of 4,095 bytes, too."""
    directory, out = os.fsencode(tmp_path), tmp_path / "out"
    long = b"." + b"/" * (4090 - 6 - len(directory)) + b"x.pem"
    names = [*HOSTILE, long]
    with (
        Workload(OPEN_ALL, directory.hex(), *(name.hex() for name in names)) as workload,
        Tracer("-p", str(workload.pid), "-F", "*.pem", "-f", shape, "-o", str(out), "--no-redact") as tracer,
    ):
        workload.go()
        assert tracer.wait() == 0
    raw = out.read_bytes()
    assert raw.replace(b"\n", b"").decode("ascii").isprintable()
    if shape == "summary":
        assert f"{len(names)} events" in raw.decode()
        return
    if shape == "csv":
        files = [parse_cell(row["file"]) for row in csv.DictReader(io.StringIO(raw.decode(), newline=""))]
    else:
        slurp = "." if shape == "json-array" else "[inputs]"
        options = [] if shape == "json-array" else ["-n"]
        # jq only takes the stream apart; Python reads the names.
        done = subprocess.run(["jq", "-c", *options, f"{slurp} | length"], input=raw, capture_output=True, check=True)
        assert int(done.stdout) == len(names)
        text = raw.decode()
        found = json.loads(text) if shape == "json-array" else json.loads("[" + split(text) + "]")
        for event in found:
            check_event(event)
        files = [event["file"] for event in found]
    assert [os.fsencode(file) for file in files] == [directory + b"/" + name for name in names]


def split(text):
    """Objects one after the other, with commas between them."""
    return text.strip().replace("}\n{", "},\n{")


def test_file_patterns_are_alternatives_and_match_absolute_names(tmp_path):
    """`*.key` by name, a directory by where the file lies although the process named it otherwise."""
    (tmp_path / "inside").mkdir()
    code = """
os.chdir(sys.argv[1])
for name in ("a.key", "b.pem", "inside/c.pem", "./inside/../d.crt"):
    try:
        os.open(name, os.O_RDONLY)
    except OSError:
        pass
"""
    for name in ("a.key", "inside/c.pem"):
        (tmp_path / name).touch()
    with (
        Workload(code, str(tmp_path)) as workload,
        Tracer("-p", str(workload.pid), "-F", "*.key", "-F", str(tmp_path / "inside"), "--no-redact") as tracer,
    ):
        workload.go()
        assert tracer.wait() == 0
        events = tracer.events()
    assert [event["file"] for event in events] == ["a.key", "inside/c.pem"]


def test_several_processes_are_watched_until_the_last_one_ends(tmp_path):
    """--pid N,M; a third one is not shown."""
    missing = str(tmp_path / "x.pem")
    with (
        opens(missing, 3) as one,
        opens(missing, 5) as two,
        opens(missing, 7) as other,
        Tracer("--pid", f"{one.pid},{two.pid}") as tracer,
    ):
        for workload in (other, one, two):
            workload.go()
        assert tracer.wait() == 0
        counts = {pid: len(of_kind(tracer.events(pid), "file_open")) for pid in (one.pid, two.pid, other.pid)}
    assert counts == {one.pid: 3, two.pid: 5, other.pid: 0}


def test_follow_children_shows_what_they_do_and_ends_with_the_last_one(tmp_path):
    """A grandchild that lives longer than its parents, too."""
    missing = str(tmp_path / "x.pem")
    code = "os.system(f\"sh -c 'cat {sys.argv[1]}; (sleep 0.5; cat {sys.argv[1]}) &'\")"
    with Workload(code, missing) as workload, Tracer("-p", str(workload.pid), "--follow-children") as tracer:
        workload.start()
        assert tracer.wait() == 0
        events = [event for event in of_kind(tracer.events(), "file_open") if event["file"].endswith("x.pem")]
    assert len(events) == 2
    assert workload.pid not in {event["pid"] for event in events}


def test_user_and_name_have_to_match_both(tmp_path):
    """Filters of the kernel and of user space together."""
    missing = str(tmp_path / "x.pem")
    tmp_path.chmod(0o755)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    code = """
import os, sys
with open("/proc/self/comm", "w") as comm:
    comm.write("ct-wanted")
try:
    os.open(sys.argv[1], os.O_RDONLY)
except OSError:
    pass
"""
    with Tracer("--uid", "65534,65533", "-n", "CT-want*", "-n", "unused", "--no-redact") as tracer:
        for prefix in ((), nobody):
            subprocess.run([*prefix, "/usr/bin/python3", "-I", "-S", "-c", code, missing], check=True)
        wait_until(lambda: len(of_kind(tracer.events(), "file_open")), "the open")
        assert tracer.stop() == 130
        (event,) = of_kind(tracer.events(), "file_open")
    assert (event["uid"], event["process"], event["file"]) == (65534, "ct-wanted", missing)


def test_libs_lists_what_is_loaded_and_then_what_comes():
    """Two kinds of events, of the same process."""
    code = "import _hashlib\nprint('up', flush=True)\nsys.stdin.readline()\nimport _ssl"
    with Workload(code) as workload:
        workload.start()
        assert workload._process.stdout.readline() == "up\n"
        command = [*PROGRAM, "libs", "-p", str(workload.pid), "--no-redact"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            first = json.loads(process.stdout.readline())
            while "ready (" not in process.stderr.readline():
                pass
            workload.go()
            rest = process.stdout.read()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()
    events = [first, *map(json.loads, rest.splitlines())]
    for event in events:
        check_event(event)
    present = {event["library_name"] for event in events if event["event_type"] == "lib_present"}
    assert present == {"_hashlib", "libcrypto"}
    assert {event["library_name"] for event in events if event["event_type"] == "lib_load"} == {"_ssl", "libssl"}
    mapped = next(event for event in events if event["library_name"] == "libcrypto")
    status = os.stat(mapped["library"])
    assert (mapped["inode"], mapped["pid"], mapped["uid"]) == (status.st_ino, workload.pid, 0)


def test_filter_that_can_match_nothing_is_said_at_the_start():
    """It runs nevertheless, as it did with the C tool."""
    done = run_any("files", "-d", "0.1", "-l", "libssl")
    assert (done.returncode, done.stdout) == (0, "")
    assert "warning: --library can match nothing here" in done.stderr


def test_full_disk_says_what_was_not_written(tmp_path):
    """/dev/full: exit code 1, the count, and no traceback."""
    missing = str(tmp_path / "x.pem")
    with opens(missing, 13) as workload:
        tracer = Tracer("-p", str(workload.pid), "-F", "*.pem", "-o", "/dev/full")
        try:
            tracer.wait_ready()
            workload.go()
            assert tracer.wait() == 1
        finally:
            tracer.close()
    text = "\n".join(tracer.stderr)
    assert "No space left on device" in text
    assert "not written" in text
    assert "Traceback" not in text
