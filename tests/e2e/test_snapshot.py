"""`crypto-tracer snapshot`: what runs, from /proc alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.gates import require_tool
from tests.support.runs import document, run_any, run_tracer
from tests.support.schemas import check_document
from tests.support.workloads import Workload, wait_until

NAMES = [
    b"new\nline.pem",
    b"\x1b]0;owned\x07.key",
    b"\xff\xfe.pem",
    b'quote"back\\slash,.pem',
    b"x" * 251 + b".pem",
    "Schlüssel-鍵.pem".encode(),
]
# Opens files, loads OpenSSL, and waits.
CODE = """
import _ssl
for name in sys.argv[2:]:
    os.open(bytes.fromhex(sys.argv[1]) + b"/" + bytes.fromhex(name), os.O_RDONLY)
print("open", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def user(tmp_path):
    """A process that has files open and libraries loaded."""
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    with Workload(CODE, os.fsencode(tmp_path).hex(), *(name.hex() for name in NAMES)) as workload:
        workload.start()
        assert workload._process.stdout.readline() == "open\n"
        yield workload


def snapshot(*arguments, **options):
    found = document(run_tracer("snapshot", "--no-redact", *arguments, **options))
    check_document("snapshot", found)
    return found


def test_snapshot_shows_libraries_and_open_files_of_a_process(user, tmp_path):
    """Every file that /proc has, byte for byte."""
    (row,) = snapshot("--pid", str(user.pid))["processes"]
    assert row["exe"] == os.readlink(f"/proc/{user.pid}/exe")
    assert row["running_as"] == f"uid:{os.getuid()}"
    files = {os.fsencode(path) for path in row["open_crypto_files"]}
    assert files == {os.fsencode(tmp_path) + b"/" + name for name in NAMES}
    maps = Path(f"/proc/{user.pid}/maps").read_text()
    assert all(path in maps for path in row["libraries"])
    assert {os.path.basename(path).partition(".")[0] for path in row["libraries"]} >= {"libssl", "libcrypto", "_ssl"}


def test_snapshot_counts_what_it_shows(user):
    """The sums are those of the rows."""
    found = snapshot("--pid", str(user.pid))
    assert found["summary"]["total_processes"] == 1
    assert found["summary"]["total_files"] == len(NAMES)
    assert found["summary"]["total_libraries"] == len(found["libraries"])
    assert {row["process_count"] for row in found["libraries"]} == {1}
    assert found["kernel"] == os.uname().release
    crypto = next(row for row in found["libraries"] if row["name"] == "libcrypto")
    assert crypto["version"].split(".")[0].isdigit()


def test_snapshot_kernel_facts_are_those_of_proc():
    """As many algorithms as /proc/crypto has."""
    found = snapshot("--pid", str(os.getpid()))["kernel_crypto"]
    try:
        text = Path("/proc/crypto").read_text()
    except FileNotFoundError:
        text = ""
    assert len(found["algorithms"]) == text.count("driver ")
    assert all(row["name"] and row["driver"] for row in found["algorithms"])


def test_snapshot_filters(user):
    """All have to match."""
    pid = ("--pid", str(user.pid))
    assert snapshot(*pid, "-l", "libcrypto", "-F", "*.key")["processes"][0]["pid"] == user.pid
    assert len(snapshot(*pid, "-F", "*.key")["processes"][0]["open_crypto_files"]) == 1
    for other in (("-l", "libnone"), ("-F", "*.p12"), ("--uid", "65533"), ("-n", "no-such"), ("--container", "*")):
        assert snapshot(*pid, *other)["processes"] == []


@pytest.mark.parametrize("format", ["json-stream", "json-lines", "json-array", "json-pretty"])
def test_snapshot_formats_say_the_same_to_jq_and_python(user, format):
    """Jq finds the names, too: it has U+FFFD for bytes that are no UTF-8."""
    text = run_tracer("snapshot", "--no-redact", "-p", str(user.pid), "-f", format)
    found = json.loads(text)
    row = (found[0] if format == "json-array" else found)["processes"][0]
    assert len(row["open_crypto_files"]) == len(NAMES)
    query = ".. | .open_crypto_files? // empty"
    done = subprocess.run([require_tool("jq"), "-c", query], input=text, capture_output=True, text=True, check=True)
    names = ["".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in name) for name in row["open_crypto_files"]]
    assert json.loads(done.stdout) == names


def test_snapshot_summary_is_text_that_moves_no_cursor(user):
    """For people."""
    text = run_tracer("snapshot", "-p", str(user.pid), "-f", "summary")
    assert text.replace("\n", "").isprintable()
    assert f"{user.pid}  " in text


def test_snapshot_csv_is_refused():
    """It is a document, and says what there is."""
    assert run_tracer("snapshot", "-f", "csv", code=2) == ""


def test_snapshot_redacts_unless_told_otherwise(tmp_path):
    """Home directories, and words of the configuration."""
    (tmp_path / "home" / "alice").mkdir(parents=True)
    (tmp_path / "home" / "alice" / "customer-x.pem").touch()
    (tmp_path / "config").write_text('{"redact": {"words": ["Customer-X"]}}')
    names = (os.fsencode(tmp_path / "home" / "alice").hex(), b"customer-x.pem".hex())
    with Workload(CODE, *names) as workload:
        workload.start()
        assert workload._process.stdout.readline() == "open\n"
        text = run_tracer("snapshot", "-p", str(workload.pid), "--config", str(tmp_path / "config"))
        assert "/home/USER/***.pem" in text
        assert "alice" not in text
        assert "customer" not in text
        assert "alice/customer-x.pem" in run_tracer("snapshot", "-p", str(workload.pid), "--no-redact")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_snapshot_without_privilege_shows_own_processes_and_counts_the_others(tmp_path):
    """Exit code 0: it is no error to be nobody."""
    setpriv = require_tool("setpriv")
    tmp_path.chmod(0o755)
    nobody = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")
    python = "/usr/bin/python3"
    own = subprocess.Popen(
        [*nobody, python, "-c", "import _ssl, sys; print('up', flush=True); sys.stdin.readline()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert own.stdout.readline() == b"up\n"
        source = "import sys; sys.path.insert(0, %r); from tracer.cli import main; sys.exit(main())"
        program = [*nobody, python, "-B", "-c", source % os.getcwd(), "snapshot", "-p", f"{own.pid},{os.getpid()}"]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = document(done.stdout)
        assert [row["pid"] for row in found["processes"]] == [own.pid]
        assert found["processes"][0]["running_as"] == "uid:65534"
        # Where /proc is mounted with hidepid=2, those of others are not even there.
        seen = subprocess.run([*nobody, "ls", "-d", f"/proc/{os.getpid()}"], capture_output=True, check=False)
        hidden = int(seen.returncode == 0)
        assert found["summary"]["processes_hidden"] == hidden
        assert ("root sees all" in done.stderr) == bool(hidden)
    finally:
        own.communicate(timeout=30)


def test_snapshot_shows_cryptography_inside_executables():
    """Age has all in one file, and loads no library: in the home of a user, and redacted there."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home" / "alice"
        home.mkdir(parents=True)
        program = shutil.copy(require_tool("age"), home / "age")
        process = subprocess.Popen([program, "--decrypt"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            maps = Path(f"/proc/{process.pid}/maps")
            wait_until(lambda: re.search(f"r-xp .*{re.escape(str(program))}", maps.read_text()), "the program")
            found = snapshot("-p", str(process.pid))
            (row,), (crypto,) = found["processes"], found["static_crypto"]
            assert (row["libraries"], row["static_crypto"]) == ([], [f"Go {crypto['version']}"])
            assert (crypto["path"], crypto["process_count"]) == (str(program), 1)
            assert crypto["evidence"] == "available"
            assert "golang.org/x/crypto" in crypto["details"]
            assert [row["name"] for row in snapshot("-p", str(process.pid), "-l", "Go")["static_crypto"]] == ["Go"]
            assert snapshot("-p", str(process.pid), "-l", "libssl")["static_crypto"] == []
            for shape in ("json-pretty", "summary"):
                text = run_tracer("snapshot", "-p", str(process.pid), "-f", shape)
                assert "/home/USER/age" in text
                assert "alice" not in text
        finally:
            process.kill()
            process.communicate()


def test_snapshot_says_which_filters_can_match_nothing():
    """As the commands that watch do."""
    done = run_any("snapshot", "-p", "1", "-F", "/srv/*.log", "-n", "a-name-of-16-byte", "-f", "summary")
    assert done.returncode == 0
    assert done.stderr.count("can match nothing") == 2


def test_snapshot_processes_that_vanish_are_no_error():
    """Programs start and end all the time while it looks."""
    busy = "while True:\n    pid = os.fork()\n    if not pid:\n        os._exit(0)\n    os.waitpid(pid, 0)\n"
    with Workload(busy) as workload:
        workload.start()
        wait_until(lambda: len(os.listdir("/proc")) > 0, "a process")
        until = time.monotonic() + 2
        while time.monotonic() < until:
            snapshot()


def test_snapshot_starts_without_rich_and_without_the_library():
    """It needs neither a terminal's colours nor BPF."""
    code = (
        "import sys; from tracer.cli import main; code = main(['snapshot', '-p', '1', '-o', '/dev/null'])\n"
        "heavy = {name.partition('.')[0] for name in sys.modules} & {'rich', 'elftools', 'ctypes', 'asyncio'}\n"
        "assert not heavy, heavy\n"
        "assert not [name for name in sys.modules if name.startswith('pybpfload.') and name != 'pybpfload._version']\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr


def test_snapshot_output_replaces_the_file(tmp_path):
    """As a whole."""
    path = tmp_path / "x.json"
    path.write_text("old")
    assert run_tracer("snapshot", "-p", str(os.getpid()), "-o", str(path), "-q") == ""
    check_document("snapshot", json.loads(path.read_text()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]
