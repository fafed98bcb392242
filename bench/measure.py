# SPDX-License-Identifier: MIT
"""Start a tracer, wait for its first sign of life, stop it; with the times and the memory that took."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Opens one missing certificate per millisecond, until its standard input ends.
WORKLOAD = """
import os, select, sys
print("running", flush=True)
while not select.select([0], [], [], 0.001)[0]:
    try:
        os.close(os.open(sys.argv[1], os.O_RDONLY))
    except FileNotFoundError:
        pass
"""
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Run:
    """One life of a tracer. Times in seconds, memory in bytes."""

    ready_s: float | None
    first_event_s: float
    stop_s: float
    rss: int


@contextlib.contextmanager
def workload() -> Iterator[int]:
    """Pid of a process that opens a missing .pem file again and again."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-I", "-c", WORKLOAD, os.path.join(folder, "missing.pem")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.stdin.close()  # type: ignore[union-attr]


def run(command: Sequence[str], *, ready_text: str | None) -> Run:
    """Run a tracer until it reports an event, then interrupt it.

    Args:
        command: a tracer of the workload, one line of standard output per event.
        ready_text: what its line on standard error says when all is attached; None if it has no such line.

    Raises:
        RuntimeError: it ended early or said nothing in time.
    """
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            return _observe(process, started, ready_text)
        finally:
            if process.poll() is None:
                process.kill()


def _observe(process: subprocess.Popen[bytes], started: float, ready_text: str | None) -> Run:
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = process.stdout.fileno(), process.stderr.fileno()
    ready_s = first_event_s = None
    said = b""
    with select.epoll() as poll:
        poll.register(stdout, select.EPOLLIN)
        poll.register(stderr, select.EPOLLIN)
        while first_event_s is None or (ready_text and ready_s is None):
            left_s = started + DEADLINE_S - time.monotonic()
            if left_s <= 0:
                raise RuntimeError(f"no event within {DEADLINE_S} s: {process.args!r}: {said.decode()}")
            for fd, _ in poll.poll(left_s):
                now = time.monotonic()
                data = os.read(fd, 1 << 16)
                if not data:
                    raise RuntimeError(f"ended early: {process.args!r}: {said.decode()}")
                if fd == stderr:
                    said += data
                    if ready_text and ready_s is None and ready_text.encode() in said:
                        ready_s = now - started
                elif first_event_s is None and b"missing.pem" in data:
                    first_event_s = now - started
    rss = peak_rss(process.pid)
    interrupted = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    return Run(ready_s, first_event_s, time.monotonic() - interrupted, rss)


def peak_rss(pid: int) -> int:
    """Largest resident size so far of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"pid {pid}: no VmHWM in its status")


def wall_time(command: Sequence[str], cwd: Path | None = None) -> float:
    """Seconds that a command takes from start to end."""
    started = time.monotonic()
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started
