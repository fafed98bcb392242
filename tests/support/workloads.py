"""Processes for end-to-end tests: the tracer itself, and things for it to see.

A workload is a process that waits until it is told to go. So its pid is known before anything happens, the
tracer can be started in between, and a test looks at the events of these pids only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tests.support.schemas import check_event
from tests.support.sources import ROOT

# Generous: a busy machine must not make a test fail, and a test that passes never waits so long.
DEADLINE_S = 30.0
READY = "crypto-tracer: ready ("

Event = dict[str, Any]


def wait_until(condition, what: str, within_s: float = DEADLINE_S):
    """Polls until the condition gives something true, and returns that; raises if it takes too long."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s} s")
        time.sleep(0.005)


class Workload:
    """A Python process that runs `code` once it is told to.

    It has no site-packages and has imported `os` and `sys` before it waits. `go()` lets it run and waits for
    its end.
    """

    def __init__(self, code: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        # The first line tells the pid: a prefix such as setpriv keeps it, a shell might not.
        program = f"import os, sys\nprint(os.getpid(), flush=True)\nsys.stdin.readline()\n{code}"
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-I", "-S", "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline())

    def go(self) -> str:
        """Let it run; returns what it wrote to stdout."""
        return self._process.communicate("\n", timeout=DEADLINE_S)[0]

    def start(self) -> None:
        """Let it run, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def ended(self) -> bool:
        """Whether it is done."""
        return self._process.poll() is not None

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def opens(path: str | bytes, count: int = 1) -> Workload:
    """Opens a file again and again, whether it is there or not, and says how often it did."""
    code = """
path = bytes.fromhex(sys.argv[1])
for n in range(int(sys.argv[2])):
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        pass
print(n + 1)
"""
    return Workload(code, os.fsencode(path).hex(), str(count))


class Tracer:
    """`crypto-tracer monitor` as a process of its own.

    As a context manager it is ready inside the block, and killed at the end if it still runs.

    Args:
        arguments: after `monitor`.
        prefix: what comes before the interpreter: `("setpriv", ...)`.
        program: how to run it; the checkout if none is given.
        stdout: as for Popen; a file of its own if none is given, which `events()` reads.
        command: another one than `monitor`.
    """

    def __init__(
        self,
        *arguments: str,
        prefix: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-m", "tracer"),
        stdout: Any = None,
        command: str = "monitor",
    ) -> None:
        self._out = tempfile.TemporaryFile() if stdout is None else None  # noqa: SIM115  close() closes it
        self.process = subprocess.Popen(
            [*prefix, *program, command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout if self._out is None else self._out,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        self.stderr: list[str] = []
        self._reader = threading.Thread(target=self._read_stderr)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line.decode().rstrip("\n"))

    def wait_ready(self) -> Tracer:
        """Waits until all probes are attached."""

        def ready() -> bool:
            if any(line.startswith(READY) for line in self.stderr):
                return True
            if self.process.poll() is not None and not self._reader.is_alive():
                raise AssertionError("the tracer ended before it was ready: " + "; ".join(self.stderr))
            return False

        wait_until(ready, "ready line")
        return self

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Sends the signal; returns the exit code."""
        self.process.send_signal(signum)
        return self.wait()

    def wait(self) -> int:
        """Waits for its end; returns the exit code."""
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def events(self, *pids: int) -> list[Event]:
        """What it has written so far, every line strictly parsed; of these processes, if any are named."""
        assert self._out is not None
        self._out.seek(0)
        return of_pids(parse_lines(self._out.read()), pids)

    def __enter__(self) -> Tracer:
        try:
            return self.wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, if it still runs, and frees what the test holds of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        if self._out is not None:
            self._out.close()


def parse_lines(raw: bytes) -> list[Event]:
    """JSON lines: ASCII, each an object on a line of its own, nothing else."""
    assert raw == b"" or raw.endswith(b"\n")
    text = raw.decode("ascii")
    assert text.replace("\n", "").isprintable() or not text
    events = [strict_json(line) for line in text.splitlines()]
    for event in events:
        check_event(event)
    return events


def strict_json(line: str) -> Event:
    """One object, with no member twice and no NaN."""

    def members(pairs: list[tuple[str, Any]]) -> Event:
        found = dict(pairs)
        assert len(found) == len(pairs), f"a member is there twice: {line}"
        return found

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON: {line}")

    parsed = json.loads(line, object_pairs_hook=members, parse_constant=no_constant)
    assert isinstance(parsed, dict)
    return parsed


def of_pids(events: Iterable[Event], pids: Sequence[int]) -> list[Event]:
    """The events of these processes; all if none are named."""
    return [event for event in events if not pids or event["pid"] in pids]


def of_kind(events: Iterable[Event], kind: str) -> list[Event]:
    """The events of one kind."""
    return [event for event in events if event["event_type"] == kind]


def library_handshakes(events):
    """Those that a library told of, not those that were seen on the wire."""
    return [event for event in of_kind(events, "tls_handshake") if event["source"] == "library"]


def run_for_pid(command: Sequence[str], **options: Any) -> tuple[int, subprocess.CompletedProcess[str]]:
    """Runs a command to its end; its pid and its result."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    output, _ = process.communicate(timeout=DEADLINE_S)
    return process.pid, subprocess.CompletedProcess(command, process.returncode, output)


def paced_opens(path: str, per_second: int, seconds: float) -> Workload:
    """Opens a missing file so often, in time; says how often it did, and how long that took.

    It makes up for moments in which it was not run, but not for more than a fiftieth of a second.
    """
    code = """
import time
rate, began, done = int(sys.argv[2]), time.monotonic(), 0
most = max(rate // 50, 1)
end = began + float(sys.argv[3])
late = 0
while (now := time.monotonic()) < end:
    due = int((now - began) * rate) - late - done
    if due > most:
        late += due - most
        due = most
    for _ in range(due):
        try:
            os.open(sys.argv[1], os.O_RDONLY)
        except OSError:
            pass
    done += due
    time.sleep(0.001)
print(done, time.monotonic() - began)
"""
    return Workload(code, path, str(per_second), str(seconds))
