# SPDX-License-Identifier: MIT
"""Measure what users wait for: the help, and a snapshot of a host with 1,000 processes.

    python -m bench.commands [--runs N] [--processes N]

The best of the runs counts, as wall and processor time: other work on the machine makes them longer, never shorter.
Each is the whole program, start and end included. Last comes what an event costs that a filter drops.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.measure import wall_time
from bench.table import print_row

ROOT = Path(__file__).resolve().parent.parent
TRACER = [sys.executable, "-m", "tracer"]

# All have OpenSSL mapped and share one executable, until the end of standard input.
ALIKE = """
import _ssl, os, signal, sys
for _ in range(int(sys.argv[1])):
    if not os.fork():
        signal.pause()
print("here", flush=True)
sys.stdin.readline()
os.killpg(0, signal.SIGKILL)
"""
# Each has an executable of its own, all of which have to be searched.
DIFFERENT = """
import os, signal, subprocess, sys
for n in range(int(sys.argv[1])):
    subprocess.Popen([f"{sys.argv[2]}/{n}", "1000000"])
print("here", flush=True)
sys.stdin.readline()
os.killpg(0, signal.SIGKILL)
"""


@contextlib.contextmanager
def processes(code: str, count: int, *arguments: str) -> Iterator[None]:
    """So many, in a process group of their own."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(count), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            if process.stdout.readline() != b"here\n":
                raise RuntimeError("not all processes could be started")
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.commands", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each (default %(default)s)")
    parser.add_argument("--processes", type=int, default=1000, metavar="N", help="default %(default)s")
    options = parser.parse_args()
    count = options.processes

    def best_ms(*arguments: str) -> str:
        runs = [times([*TRACER, *arguments]) for _ in range(options.runs)]
        return " / ".join(f"{min(column) * 1e3:.0f}" for column in zip(*runs))

    print(f"best of {options.runs}, ms: wall / processor")
    print_row("--help", best_ms("--help"))
    print_row("monitor --help", best_ms("monitor", "--help"))
    quiet = ("snapshot", "-q")
    print_row(f"snapshot of {len([name for name in os.listdir('/proc') if name.isdigit()])}", best_ms(*quiet))
    with processes(ALIKE, count):
        print_row(f"... and {count} with OpenSSL", best_ms(*quiet))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            shutil.copy("/bin/sleep", f"{folder}/{number}")
        with processes(DIFFERENT, count, folder):
            print_row(f"... and {count} executables", best_ms(*quiet))
            text = subprocess.run([*TRACER, *quiet], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    print_row("executables left out", str(json.loads(text)["summary"]["executables_skipped"]))
    print_row("event that is dropped, us", f"{filter_cost_us(options.runs):.2f}")
    return 0


def times(command: Sequence[str]) -> tuple[float, float]:
    """Seconds that a command takes, by the clock and of the processor."""
    before = os.times()
    wall_s = wall_time(command, ROOT)
    after = os.times()
    return wall_s, after.children_user + after.children_system - before.children_user - before.children_system


def filter_cost_us(runs: int) -> float:
    """What the filter of names costs for an event that it drops."""
    from tracer.cli import build_parser, complete
    from tracer.commands import load_command
    from tracer.pipeline import run_pipeline
    from tracer.pipeline.select import Selection

    events: Any = import_module("tests.unit.tracer.events")
    given = build_parser(["files"]).parse_args(["files", "-F", "/etc/ssl/*.key", "-F", "*.p12"])
    stages = Selection(complete(load_command("files"), given)).early()
    batch = [events.file_open(f"/usr/share/x{number % 50}.pem") for number in range(10_000)]
    best_s = float("inf")
    for _ in range(runs + 2):  # the first ones fill caches
        began = time.process_time()
        if run_pipeline(stages, batch):
            raise RuntimeError("an event came through")
        best_s = min(best_s, time.process_time() - began)
    return best_s / len(batch) * 1e6


if __name__ == "__main__":
    sys.exit(main())
