"""The programs of examples/ do what they say, each beside something that the test started itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from tests.support.needs import needs
from tests.support.sandbox import cgroup
from tests.support.sources import ROOT

pytestmark = pytest.mark.kernel
TIMEOUT_S = 30
# Does what stdin says, one line after the other, and answers each.
WORKER = """
import ctypes, os, signal, socket, subprocess, sys
libc = ctypes.CDLL(None)
def tries(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Worker:
    """A process of the test's own, whose pid the examples are given."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", WORKER], stdin=-1, stdout=-1, text=True)
        self.pid = self.process.pid
        self.process.stdout.readline()

    def do(self, code: str) -> None:
        """Run one line of Python in it."""
        self.process.stdin.write(code + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def worker():
    """It ends with the test."""
    one = Worker()
    with one.process:
        yield one
        one.process.stdin.close()


class Example:
    """A running example."""

    def __init__(self, process: subprocess.Popen[str], first: str) -> None:
        self.process, self.first = process, first

    def lines(self, count: int) -> list[list[str]]:
        """The words of the next lines."""
        return [self.process.stdout.readline().split() for _ in range(count)]

    def stop(self) -> list[str]:
        """Ctrl-C; the lines that it wrote and that nobody has read."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        assert (self.process.returncode, err) == (0, "")
        return out.splitlines()


@contextmanager
def example(name: str, *arguments: object):
    """An example that has written its first line: it is attached."""
    command = [sys.executable, "-W", "error", "-m", f"examples.{name}", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True) as process:
        deadline = threading.Timer(TIMEOUT_S, process.kill)
        deadline.start()
        try:
            first = process.stdout.readline()
            assert first, process.stderr.read()
            yield Example(process, first)
        finally:
            deadline.cancel()
            process.kill()


def test_every_example_has_a_test_and_is_listed():
    """By name: a new one needs both."""
    names = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    page = (ROOT / "examples" / "README.md").read_text()
    assert len(names) >= 6
    for name in names:
        assert f"test_{name}_" in " ".join(globals())
        assert f"({name}.py)" in page


@needs("prog:tracepoint")
def test_opensnoop_shows_files_and_results_of_a_process(worker, tmp_path):
    """A file that is there, and one that is not."""
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.touch()
    with example("opensnoop", "-p", worker.pid) as running:
        worker.do(f"tries(os.open, {str(there)!r}, 0); tries(os.open, {str(missing)!r}, 0)")
        found, lost = running.lines(2)
        assert running.stop() == []
    assert (found[0], found[2:]) == (str(worker.pid), ["fd", "3", str(there)])
    assert (lost[0], lost[2:]) == (str(worker.pid), ["ENOENT", str(missing)])


def test_execsnoop_shows_arguments_of_what_a_process_starts(worker):
    """Each of seven programs, with an argument that has a blank."""
    with example("execsnoop", "--parent", worker.pid) as running:
        worker.do("for i in range(7): subprocess.run([sys.executable, '-ISc', '0', 'a b', str(i)], check=True)")
        lines = running.lines(7)
        assert running.stop() == []
    assert [line[1:3] for line in lines] == [[str(worker.pid), "root"]] * 7
    assert [line[-5:] for line in lines] == [["-ISc", "0", "'a", "b'", str(i)] for i in range(7)]


def test_syslatency_prints_a_histogram_of_each_system_call(worker):
    """So many calls as were made; their slots add up to that."""
    number = {"x86_64": 121, "aarch64": 155}[os.uname().machine]
    with example("syslatency", worker.pid) as running:
        worker.do("for i in range(101): libc.getpgid(0)")
        text = "\n".join(running.stop())
    block = re.search(rf"^system call {number}: 101 calls, [\d.]+ us on average\n((?:  .*\n?)+)", text, re.MULTILINE)
    assert sum(int(line.split()[2]) for line in block[1].splitlines()) == 101


@needs("bpf_cookie")
def test_libcalls_counts_each_function(worker):
    """Told apart by cookies, in one process only."""
    with example("libcalls", "-p", worker.pid, "libc.so.6", "getpgid", "getsid", "getpriority") as running:
        assert running.first.startswith("attached by ")
        worker.do("for i in range(101): libc.getpgid(0)")
        worker.do("for i in range(7): libc.getsid(0)")
        lines = running.stop()
    assert [line.split() for line in lines] == [["101", "getpgid"], ["7", "getsid"], ["0", "getpriority"]]


@pytest.mark.parametrize(("network", "dropped"), [("10.0.0.0/8", 0), ("127.0.0.0/8", 23)])
def test_netcount_counts_packets_of_a_cgroup_and_drops_what_is_blocked(network, dropped, worker):
    """Datagrams to a socket of the test's own, of a process in a cgroup of the test's own."""
    with cgroup(inside=False) as path, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        home = path.parent / "cgroup.procs"
        (path / "cgroup.procs").write_text(str(worker.pid))
        try:
            with example("netcount", path, "--block", network) as running:
                worker.do("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)")
                worker.do(f"for i in range(23): tries(s.sendto, b'x' * 72, {server.getsockname()})")
                lines = [line.split() for line in running.stop()]
        finally:
            home.write_text(str(worker.pid))
    assert lines == [
        ["PEER", "WAY", "PACKETS", "BYTES", "DROPPED"],
        ["127.0.0.1", "sent", "23", "2300", str(dropped)],
    ]


def test_sigsnoop_shows_signals_unless_it_is_paused(worker):
    """Two of three: the second is sent while the variable in the kernel says no."""
    worker.do("for name in ('HUP', 'USR1', 'USR2'): signal.signal(signal.Signals['SIG' + name], lambda *_: None)")
    with example("sigsnoop", "-p", worker.pid) as running:
        os.kill(worker.pid, signal.SIGHUP)
        (line,) = running.lines(1)
        assert (line[0], line[-2:]) == (str(os.getpid()), [str(worker.pid), "SIGHUP"])
        running.process.send_signal(signal.SIGUSR1)
        assert running.lines(1) == [["paused"]]
        os.kill(worker.pid, signal.SIGUSR1)
        running.process.send_signal(signal.SIGUSR1)
        assert running.lines(1) == [["going", "on"]]
        os.kill(worker.pid, signal.SIGUSR2)
        assert [line[-2:] for line in running.lines(1)] == [[str(worker.pid), "SIGUSR2"]]
        assert running.stop() == []
