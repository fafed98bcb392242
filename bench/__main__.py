# SPDX-License-Identifier: MIT
"""Measure crypto-tracer beside other tracers of file opens, in one run on one machine.

Every tracer is started while a process opens a missing .pem file each millisecond, and is stopped by SIGINT
after its first event. The runs of the tools take turns, so that a busy moment of the machine hits all of them
alike.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Run, run, wall_time, workload
from bench.table import print_row

ROOT = Path(__file__).resolve().parent.parent
READY_TEXT = "crypto-tracer: ready"


@dataclass(frozen=True)
class Tool:
    """A tracer that reports the opens of one process."""

    name: str
    program: str
    command: Callable[[str, int], Sequence[str]]
    ready_text: str | None = None


BPFTRACE = """
tracepoint:syscalls:sys_enter_openat /pid == {pid}/ {{ @name[tid] = args->filename; }}
tracepoint:syscalls:sys_exit_openat /@name[tid]/ {{
    printf("%d %s %d\\n", pid, str(@name[tid]), args->ret); delete(@name[tid]);
}}
"""
OTHERS = (
    Tool("opensnoop", "opensnoop", lambda path, pid: ["stdbuf", "-oL", path, "-p", str(pid)]),
    Tool("bpftrace", "bpftrace", lambda path, pid: [path, "-B", "line", "-e", BPFTRACE.format(pid=pid)]),
)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="runs of each tool (default %(default)s)")
    parser.add_argument("--zipapp", default=str(ROOT / "dist" / "crypto-tracer.pyz"), metavar="FILE")
    options = parser.parse_args()
    tools = [
        Tool(
            "crypto-tracer",
            options.zipapp,
            lambda path, pid: [sys.executable, "-I", path, "monitor", "--pid", str(pid)],
            READY_TEXT,
        )
    ]
    for tool in OTHERS:
        if shutil.which(tool.program):
            tools.append(tool)
        else:
            print(f"{tool.name} is not installed: left out", file=sys.stderr)

    runs: dict[str, list[Run]] = {tool.name: [] for tool in tools}
    with workload() as pid:
        for _ in range(options.runs):
            for tool in tools:
                path = shutil.which(tool.program) or tool.program
                runs[tool.name].append(run(tool.command(path, pid), ready_text=tool.ready_text))
    print_comparison(runs, options.runs)
    print()
    print_own(runs["crypto-tracer"], options.zipapp, options.runs)
    return 0


def print_comparison(runs: dict[str, list[Run]], count: int) -> None:
    """Each measure beside the other tools', and as a ratio: how many times as much they take."""
    names = list(runs)
    own = names[0]
    measures: tuple[tuple[str, str, Callable[[Run], float]], ...] = (
        ("exec to first event", "ms", lambda one: one.first_event_s * 1e3),
        ("SIGINT to exit", "ms", lambda one: one.stop_s * 1e3),
        ("peak memory", "MB", lambda one: one.rss / 1e6),
    )
    print(f"{count} runs of each, taking turns: min / median (median as a multiple of {own}'s)")
    print_row("", *names)
    for title, unit, value in measures:
        base = statistics.median(value(one) for one in runs[own])
        cells = []
        for name in names:
            values = [value(one) for one in runs[name]]
            median = statistics.median(values)
            ratio = "" if name == own else f" ({median / base:.1f}x)"
            cells.append(f"{min(values):.0f} / {median:.0f}{ratio}")
        print_row(f"{title}, {unit}", *cells)


def print_own(runs: list[Run], zipapp: str, count: int) -> None:
    """What only crypto-tracer has: a ready line, a help text, one file."""
    ready = [one.ready_s * 1e3 for one in runs if one.ready_s is not None]
    python = [sys.executable, "-I"]
    bare, helped = [], []
    for _ in range(count):
        bare.append(wall_time([*python, "-c", "pass"]) * 1e3)
        helped.append(wall_time([*python, zipapp, "--help"]) * 1e3)
    print("crypto-tracer alone: min / median")
    print_row("exec to ready, ms", f"{min(ready):.0f} / {statistics.median(ready):.0f}")
    print_row("--help, ms", f"{min(helped):.0f} / {statistics.median(helped):.0f}")
    print_row("python -c pass, ms", f"{min(bare):.0f} / {statistics.median(bare):.0f}")
    print_row("size of the file, MB", f"{Path(zipapp).stat().st_size / 1e6:.2f}")


if __name__ == "__main__":
    sys.exit(main())
