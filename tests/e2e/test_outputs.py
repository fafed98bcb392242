"""Outputs that fail, and signals: the same promises for lines and for documents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.gates import require_tool
from tests.support.runs import PROGRAM, run_any
from tests.support.schemas import check_document
from tests.support.sources import ROOT
from tests.support.workloads import DEADLINE_S, Tracer, Workload, opens, parse_lines

pytestmark = pytest.mark.kernel

# A command that writes lines, and some that write a document; all end by themselves.
DOCUMENTS = [("snapshot", "-p", str(os.getpid())), ("doctor", "-f", "json-pretty"), ("schema",)]
LINES = ("libs", "-d", "0.1", "-p", str(os.getpid()))
ALL = [LINES, *DOCUMENTS, ("profile", "-d", "0.1", "-p", str(os.getpid()))]
# Events until the process ends, as a document.
ARRAY = ("monitor", "-f", "json-array")


def ids(command):
    return command[0]


@pytest.fixture
def waiting():
    """A process that waits to be ended."""
    with Workload("sys.stdin.readline()") as workload:
        yield workload


@pytest.fixture
def disk():
    """A file system of 16 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([require_tool("mount"), "-t", "tmpfs", "-o", "size=16k", "none", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.fixture
def link():
    """A link of somebody else to a file of ours, and that file."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        target, name = Path(folder) / "target", Path(folder) / "link"
        target.write_text("precious\n")
        name.symlink_to(target)
        os.lchown(name, 65534, 65534)
        yield name, target


def started(*arguments):
    """The program, once it is ready."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if "ready (" in line:
            return process
    raise AssertionError(f"it ended before it was ready: {process.communicate()}")


def has_error_and_hint(text):
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("crypto-tracer: error: "))
    assert lines[at + 1].startswith("  hint: "), text
    assert "Traceback" not in text
    return lines[at]


def test_full_disk_keeps_whole_lines_and_counts_the_rest(disk):
    """What was there before stays, and what is there is valid."""
    path = disk / "events.jsonl"
    with opens(str(disk / "x.pem"), 199) as workload, Tracer("-p", str(workload.pid), "-o", str(path)) as tracer:
        workload.go()
        assert tracer.wait() == 1
    assert "No space left on device" in has_error_and_hint("\n".join(tracer.stderr))
    events = parse_lines(path.read_bytes())
    assert 0 < len(events) < 199
    (total,) = [line for line in tracer.stderr if line.endswith(" not written")]
    assert total.startswith(f"crypto-tracer: {len(events)} events")


@pytest.mark.parametrize("command", [*DOCUMENTS, ("profile", "-d", "0.1", "-p", str(os.getpid()))], ids=ids)
def test_full_disk_leaves_the_document_that_was_there(disk, command):
    """Nobody sees half of one, and nothing is left beside it."""
    path = disk / "document"
    path.write_text("old\n")
    (disk / "rest").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    done = run_any(*command, "-o", str(path))
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in has_error_and_hint(done.stderr)
    assert path.read_text() == "old\n"
    assert sorted(os.listdir(disk)) == ["document", "rest"]


@pytest.mark.parametrize("command", ALL, ids=ids)
def test_link_of_somebody_else_is_not_followed(link, command):
    """In a directory like /tmp it could lead anywhere."""
    name, target = link
    done = run_any(*command, "-o", str(name))
    assert (done.returncode, done.stdout) == (1, "")
    assert "symbolic link that belongs to uid 65534" in has_error_and_hint(done.stderr)
    assert (target.read_text(), name.is_symlink()) == ("precious\n", True)


@pytest.mark.parametrize("command", [LINES, DOCUMENTS[0]], ids=ids)
def test_own_link_is_followed(link, command):
    """As everybody expects."""
    name, target = link
    os.lchown(name, os.geteuid(), os.getegid())
    done = run_any(*command, "-o", str(name))
    assert (done.returncode, name.is_symlink()) == (0, True), done.stderr
    assert target.read_text() != "precious\n"


@pytest.mark.parametrize("command", ALL, ids=ids)
def test_reader_that_is_gone_is_no_error(command):
    """`| true`: no complaint, and success."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*PROGRAM, *command, "-q"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", [("profile",), ARRAY], ids=ids)
@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_signal_ends_a_document_whole(waiting, tmp_path, command, signum, code):
    """It has what there was until then."""
    path = tmp_path / "x.json"
    process = started(*command, "-p", str(waiting.pid), "-o", str(path))
    process.send_signal(signum)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    document = json.loads(path.read_text())
    if command == ARRAY:
        assert document == []
    else:
        check_document("profile", document)
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_signal_ends_lines_whole(waiting, signum, code):
    """To a pipe, which cannot be opened again."""
    process = started("monitor", "-p", str(waiting.pid))
    process.send_signal(signum)
    text, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    parse_lines(text.encode())


def test_hangup_opens_lines_again_and_goes_on(waiting, tmp_path):
    """Only SIGTERM ends it."""
    path = tmp_path / "x.jsonl"
    process = started("monitor", "-v", "-p", str(waiting.pid), "-o", str(path))
    path.unlink()
    process.send_signal(signal.SIGHUP)
    assert any("opened again" in line for line in iter(process.stderr.readline, ""))
    assert path.exists()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 143


@pytest.mark.parametrize(
    ("arguments", "prefix", "code"),
    [
        (("snapshot", "-p", "1", "-q", "-o", "/dev/null"), (), 0),
        (("monitor", "--replay", "/etc/passwd"), (), 1),
        (("monitor", "--pid", "none"), (), 2),
        (("monitor",), ("setpriv", "--bounding-set=-all", "--inh-caps=-all"), 3),
        (("monitor",), ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"), 4),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
def test_exit_codes(arguments, prefix, code):
    """Those of the errors come with a hint; 5 is in test_ends.py, for it takes an installation that is broken."""
    done = run_any(*arguments, prefix=prefix)
    assert done.returncode == code, done.stderr
    if code:
        has_error_and_hint(done.stderr)
