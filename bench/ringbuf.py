# SPDX-License-Identifier: MIT
"""Measure how fast records of a ring buffer are drained and decoded, beside libbpf's consumer in C.

    python -m bench.ringbuf [--records N] [--runs N]

A program of type `syscall` fills the ring buffer, and has ended when reading begins: what is measured is the
reader alone, on one core. libbpf's consumer reads the same records in the same run; it is compiled here (gcc,
libbpf-dev), and its callback stores each member, as a program that does something with it would.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pybpfload
from bench.table import print_row
from pybpfload._sys import attrs, bpf
from pybpfload.errors import BpfError
from pybpfload.events import BATCH
from pybpfload.uapi import Cmd

ROOT = Path(__file__).resolve().parent.parent
OBJECT = ROOT / "tests" / "data" / "flood.bpf.o"
CONSUMER = Path(__file__).with_name("ringbuf.c")
RECORD = 128
FILL = 100_003  # records at once; a prime, so that nothing comes out right by chance


class TestRun(attrs.Attr):
    """BPF_PROG_TEST_RUN, as far as it is needed here."""

    _fields_ = (("prog_fd", attrs.u32), ("retval", attrs.u32), ("rest", attrs.u64 * 9))


def flood(obj: pybpfload.BpfObject) -> None:
    """Fill the ring buffer."""
    result = bpf.bpf(Cmd.PROG_TEST_RUN, TestRun(prog_fd=obj.programs["flood"].fileno()))
    if result < 0:
        raise bpf.error_of(-result, "BPF_PROG_TEST_RUN flood")


Ways = dict[str, Callable[[pybpfload.BpfObject], pybpfload.EventReader[Any]]]


def one_by_one(obj: pybpfload.BpfObject) -> pybpfload.EventReader[Any]:
    """With a decoder that is called for each record."""
    return obj.events("events", decode=obj.spec.records["events"].decode)


WAYS: Ways = {
    "records": lambda obj: obj.events("events"),
    "tuples": lambda obj: obj.events("events", into=tuple),
    "dicts": lambda obj: obj.events("events", into=dict),
    "records, one by one": one_by_one,
    "bytes": lambda obj: obj.events("events", decode=lambda data, at, size: bytes(data[at : at + size])),
}


def drain(obj: pybpfload.BpfObject, way: str, total: int) -> tuple[float, float]:
    """Seconds to drain at least `total` records, by the clock and of this thread's CPU time, for each record.

    Raises:
        RuntimeError: a record was lost, came twice or out of order.
    """
    wall = cpu = 0.0
    count = 0
    first = int(str(obj.variables["sent"]))
    with WAYS[way](obj) as reader:
        while count < total:
            flood(obj)
            wall_started, cpu_started = time.perf_counter(), time.thread_time()
            expected = FILL
            while expected:
                records = reader.read(BATCH)
                if way in ("records", "tuples") and records[0][0] != first + count:
                    raise RuntimeError(f"record {records[0][0]}, expected {first + count}")
                count += len(records)
                expected -= len(records)
            cpu += time.thread_time() - cpu_started
            wall += time.perf_counter() - wall_started
            if reader.pending:
                raise RuntimeError(f"{reader.pending} bytes were left")
        if reader.received != count or int(str(obj.variables["sent"])) != first + count or obj.variables["lost"]:
            raise RuntimeError(
                f"{reader.received} received, {obj.variables['sent']} sent, {obj.variables['lost']} lost"
            )
    return wall / count, cpu / count


def c_consumer(folder: Path) -> list[str] | None:
    """The command of libbpf's consumer, compiled; None where that cannot be done."""
    if not shutil.which("gcc"):
        print("gcc is not installed: libbpf's consumer is left out", file=sys.stderr)
        return None
    target = folder / "consumer"
    done = subprocess.run(["gcc", "-O2", str(CONSUMER), "-o", str(target), "-lbpf"], check=False)
    if done.returncode:
        print("libbpf's consumer cannot be compiled (libbpf-dev): left out", file=sys.stderr)
        return None
    return [str(target), str(OBJECT), str(FILL)]


def rows(times: dict[str, list[tuple[float, float]]]) -> Iterator[tuple[str, ...]]:
    """Name, millions of records a second: by CPU time best and median, by the clock median; and the ratio."""
    base = statistics.median(cpu for _, cpu in times["records"])
    for name, values in times.items():
        cpu = [value for _, value in values]
        middle = statistics.median(cpu)
        wall = statistics.median(value for value, _ in values)
        yield (
            name, f"{1e-6 / min(cpu):.2f} / {1e-6 / middle:.2f}", f"{1e-6 / wall:.2f}", f"{base / middle:.2f}x",
        )  # fmt: skip


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.ringbuf", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="runs of each way (default %(default)s)")
    parser.add_argument("--records", type=int, default=300_000, metavar="N", help="of a run (default %(default)s)")
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    spec = pybpfload.read_object(OBJECT)
    spec.variables["count"] = FILL
    with tempfile.TemporaryDirectory() as folder:
        command = c_consumer(Path(folder))
        try:
            obj = pybpfload.load(spec)
        except BpfError as error:
            print(f"cannot be measured here: {error}", file=sys.stderr)
            return 0
        with obj:
            for _ in range(options.runs):
                for way, values in times.items():
                    if way in WAYS:
                        values.append(drain(obj, way, options.records))
                if command:
                    output = subprocess.run(
                        [*command, str(options.records)], stdout=subprocess.PIPE, text=True, check=True
                    ).stdout.split()
                    times.setdefault("libbpf, in C", []).append((float(output[0]), float(output[1])))
    print(f"{options.runs} runs of each, taking turns, of {options.records} records or more, of {RECORD} bytes and")
    print("18 numbers and texts; none was lost. Millions of records a second")
    print_row("", "of CPU time: best / median", "by the clock: median", "beside records")
    for row in rows(times):
        print_row(*row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
