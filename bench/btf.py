# SPDX-License-Identifier: MIT
"""Measure what the kernel's BTF costs: its index, its memory, and relocating an object against it.

    python -m bench.btf [--runs N] [--btf FILE]

Each measure is taken in a process of its own, and the runs take turns. bpftool (libbpf, in C) relocates
the same object in the same run: `bpftool gen min_core_btf` finds the types that its relocations name.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import wall_time
from bench.table import print_row

ROOT = Path(__file__).resolve().parent.parent
OBJECT = ROOT / "bpf" / "objects" / "x86_64" / "process_exec_trace.bpf.o"

# Each prints one number: seconds, or bytes.
INDEX = """
import sys, time
from pybpfload.btf import Btf
data = open(sys.argv[1], "rb").read()
started = time.perf_counter()
count = len(Btf(data))
print(time.perf_counter() - started)
"""
# What one would write first: every header through struct.
PLAIN = """
import struct, sys, time
data = open(sys.argv[1], "rb").read()
started = time.perf_counter()
header, type_off, type_len = struct.unpack_from("<4xIII", data)
at, end, offsets = header + type_off, header + type_off + type_len, [0]
extra = {1: 4, 3: 12, 14: 4, 17: 4}
each = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
while at < end:
    name, info, size = struct.unpack_from("<III", data, at)
    offsets.append(at)
    kind, vlen = info >> 24 & 31, info & 65535
    at += 12 + extra.get(kind, 0) + each.get(kind, 0) * vlen
print(time.perf_counter() - started)
"""
MEMORY = """
import sys
from pybpfload import read_btf
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
before = resident()
btf = read_btf(sys.argv[1])
btf.find("task_struct")
print(resident() - before)
"""
RELOCATE = """
import sys
import pybpfload
spec = pybpfload.read_object(sys.argv[2])
print(len(spec.relocate(pybpfload.read_btf(sys.argv[1])).relocations))
"""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.btf", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="runs of each (default %(default)s)")
    parser.add_argument("--btf", default="/sys/kernel/btf/vmlinux", metavar="FILE")
    options = parser.parse_args()

    def number(code: str) -> float:
        command = [sys.executable, "-c", code, options.btf, str(OBJECT)]
        return float(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)

    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin")
    index, plain, memory, ours, theirs = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            index.append(number(INDEX) * 1e3)
            plain.append(number(PLAIN) * 1e3)
            memory.append(number(MEMORY) / 1e6)
            ours.append(wall_time([sys.executable, "-c", RELOCATE, options.btf, str(OBJECT)], cwd=ROOT) * 1e3)
            if bpftool:
                reduce = [bpftool, "gen", "min_core_btf", options.btf, f"{folder}/min.btf", str(OBJECT)]
                theirs.append(wall_time(reduce) * 1e3)
    print(f"{options.runs} runs of each, taking turns: min / median")
    base = statistics.median(index)
    print_row("index of all types, ms", f"{min(index):.0f} / {base:.0f}")
    print_row(
        "plain loop, ms",
        f"{min(plain):.0f} / {statistics.median(plain):.0f}",
        f"{statistics.median(plain) / base:.1f}x",
    )
    print_row("memory, MB", f"{min(memory):.1f} / {statistics.median(memory):.1f}")
    base = statistics.median(ours)
    print_row("relocate an object, ms", f"{min(ours):.0f} / {base:.0f}", "the whole process")
    if theirs:
        median = statistics.median(theirs)
        print_row("... by bpftool, ms", f"{min(theirs):.0f} / {median:.0f}", f"{median / base:.1f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
