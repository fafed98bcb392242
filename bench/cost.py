# SPDX-License-Identifier: MIT
"""Measure what tracing costs: an open that no filter wants, and the tracer's own CPU time.

That is taken at 5,000 and at 50,000 events a second, with what is lost of them.

    python -m bench.cost [--runs N] [--seconds S]

Needs root and gcc. The tracers take turns. All times are CPU time, of the process that opens and of the tracer, and
the best of the runs counts: other work on the machine makes them longer, never shorter.

opensnoop (libbpf-tools) and bpftrace look at all opens, as crypto-tracer does; what they write goes nowhere.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.measure import DEADLINE_S, peak_rss
from bench.table import print_row

ROOT = Path(__file__).resolve().parent.parent
OURS = [sys.executable, "-m", "tracer", "monitor", "-o", "/dev/null"]
READY = "crypto-tracer: ready"

# More events than most hosts ever have, for so long.
FAST, FAST_S = 50_000, 10.0
BPFTRACE = """
tracepoint:syscalls:sys_enter_openat { @name[tid] = args->filename; }
tracepoint:syscalls:sys_exit_openat /@name[tid]/ {
    printf("%d %s %d\\n", pid, str(@name[tid]), args->ret); delete(@name[tid]);
}
"""
# Opens so many missing certificates a second, for so many seconds.
LOAD = """
import os, sys, time
name, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
print("here", flush=True)
sys.stdin.readline()
began, done = time.monotonic(), 0
while (now := time.monotonic()) - began < seconds:
    due = int((now - began) * rate)
    while done < due:
        try:
            os.open(name % (done % 1009), os.O_RDONLY)
        except OSError:
            pass
        done += 1
    time.sleep(0.001)
print(done)
"""


@contextlib.contextmanager
def tracing(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A tracer at work."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        if command == OURS or READY in " ".join(command):
            while READY not in process.stderr.readline():
                pass
        else:
            time.sleep(2)  # it does not say when it is ready
        if process.poll() is not None:
            raise RuntimeError(f"ended early: {command}: {process.stderr.read()}")
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=DEADLINE_S)


def cpu_s(pid: int) -> float:
    """Seconds that a process with one busy thread has run so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class Cost(NamedTuple):
    """What the tracer took while events came.

    Attributes:
        share: of one CPU, in percent.
        rss: its largest size, in bytes.
        lost: events that were not written.
        rate: how many events a second there were.
    """

    share: float
    rss: int
    lost: int
    rate: float


def own_cost(folder: str, rate: int, seconds: float) -> Cost:
    """What the tracer takes while so many events come each second."""
    names = f"{folder}/some-%d.pem"
    command = [sys.executable, "-I", "-c", LOAD, names, str(rate), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()
        output = f"{folder}/events.jsonl"
        ours = [sys.executable, "-m", "tracer", "monitor", "--pid", str(load.pid), "-o", output]
        with subprocess.Popen(ours, stderr=subprocess.PIPE, text=True, cwd=ROOT) as tracer:
            assert tracer.stderr is not None
            while READY not in tracer.stderr.readline():
                pass
            before, began = cpu_s(tracer.pid), time.monotonic()
            assert load.stdin is not None
            load.stdin.write("\n")
            load.stdin.flush()
            done = int(load.stdout.readline())
            time.sleep(0.1)
            used, took_s, rss = cpu_s(tracer.pid) - before, time.monotonic() - began, peak_rss(tracer.pid)
            load.stdin.close()
            said = tracer.communicate(timeout=DEADLINE_S)[1]
    written = Path(output).read_bytes().count(b"file_open")
    Path(output).unlink()
    lost = int(said.rpartition(" lost")[0].rpartition(" ")[2])
    if written + lost < done:
        raise RuntimeError(f"{done} opens, {written} written, {lost} lost: {said}")
    return Cost(100 * used * rate / done, rss, lost, done / took_s)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of 5,000 events each")
    parser.add_argument("--rate", type=int, default=5000, metavar="N", help="events a second (default %(default)s)")
    options = parser.parse_args()
    tools = {"nothing": ["sleep", "600"], "crypto-tracer": OURS}
    opensnoop, bpftrace = shutil.which("opensnoop"), shutil.which("bpftrace")
    if opensnoop:
        tools["opensnoop"] = [opensnoop]
    if bpftrace:
        tools["bpftrace"] = [bpftrace, "-e", BPFTRACE]
    found: dict[str, list[float]] = {name: [] for name in tools}
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/opens"
        subprocess.run(["gcc", "-O2", "-o", program, str(ROOT / "bench" / "opens.c")], check=True)
        for _ in range(options.runs):
            for name, command in tools.items():
                with tracing(command):
                    measure = [program, f"{folder}/unwanted.txt", "2000", "50"]
                    found[name].append(float(subprocess.run(measure, stdout=-1, text=True, check=True).stdout))
        own = {
            rate: [own_cost(folder, rate, seconds) for _ in range(options.runs)]
            for rate, seconds in ((options.rate, options.seconds), (FAST, FAST_S))
        }
    base = min(found.pop("nothing"))
    added = {name: min(values) - base for name, values in found.items()}
    print(f"an openat that no filter wants; best of {options.runs} runs. Without a tracer it takes {base:.0f} ns")
    print_row("", *added)
    print_row("added, ns", *[f"{ns:.0f}" for ns in added.values()])
    print_row("crypto-tracer beside it", *[f"{added['crypto-tracer'] / ns:.2f}x" for ns in added.values()])
    print()
    print(f"crypto-tracer, to JSON lines in a file; best / median of {options.runs} runs; CPU time")
    print_row("", *[f"{rate:,} events/s" for rate in own])
    shares = {rate: [cost.share for cost in costs] for rate, costs in own.items()}
    print_row("of one CPU", *[f"{min(each):.2f} / {statistics.median(each):.2f} %" for each in shares.values()])
    each_us = {rate: (min(each) / rate * 1e4, statistics.median(each) / rate * 1e4) for rate, each in shares.items()}
    print_row("of CPU time an event", *[f"{best:.2f} / {middle:.2f} us" for best, middle in each_us.values()])
    print_row("events/s that there were", *[f"{max(cost.rate for cost in costs):,.0f}" for costs in own.values()])
    print_row(
        "lost: least, most", *[f"{min(c.lost for c in costs)}, {max(c.lost for c in costs)}" for costs in own.values()]
    )
    print_row("peak memory", *[f"{max(cost.rss for cost in costs) / 1e6:.1f} MB" for costs in own.values()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
