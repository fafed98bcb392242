#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long the system calls of a process take: histograms in a per-CPU map, added up and printed at the end."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pybpfload

OBJECT = Path(__file__).with_suffix(".bpf.o")
WIDTH = 40


def show(number: int, latency: pybpfload.PerCpu) -> None:
    """One system call: a line, and a histogram below."""
    calls, total = latency.sum("calls"), latency.sum("total_ns")
    print(f"system call {number}: {calls} calls, {total / calls / 1000:.1f} us on average")
    slots = [sum(counts) for counts in zip(*(cpu.slots for cpu in latency))]
    used = [slot for slot, count in enumerate(slots) if count]
    for slot in range(used[0], used[-1] + 1):
        print(f"  {2**slot:>10} ns {slots[slot]:>8}  {'#' * (slots[slot] * WIDTH // max(slots))}")


def main() -> None:
    """Until Ctrl-C, or as long as it was told to; then it prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pid", type=int, help="of the process")
    parser.add_argument("-d", "--duration", type=float, default=1e9, help="in seconds")
    options = parser.parse_args()

    spec = pybpfload.read_object(OBJECT)
    spec.variables["targ_pid"] = options.pid
    with pybpfload.load(spec) as obj:
        with obj.attach_all():
            try:
                print(f"watching {options.pid}", flush=True)
                time.sleep(options.duration)
            except KeyboardInterrupt:
                pass
        by_time = sorted(obj.maps["latencies"].items(), key=lambda item: -item[1].sum("total_ns"))
        for number, latency in by_time:
            show(number, latency)


if __name__ == "__main__":
    main()
