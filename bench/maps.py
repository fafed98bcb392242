# SPDX-License-Identifier: MIT
"""Measure what moving many map entries costs: `items()` in batches, beside asking for each key.

    python -m bench.maps [--entries N] [--runs N]

Needs root. The runs take turns, so that a busy moment of the machine hits all alike. Three kinds of keys
and values: plain bytes, numbers, and structs whose members are decoded.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pybpfload
from bench.table import print_row
from pybpfload.btf import Btf
from pybpfload.maps import HashMap, create_map
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType

OBJECT = Path(__file__).resolve().parent.parent / "tests" / "data" / "map_kinds.bpf.o"


def filled(spec: MapSpec, btf: Btf | None, entries: int) -> HashMap:
    """A hash table with so many entries."""
    spec.max_entries, spec.flags = entries, MapFlag.NO_PREALLOC
    made = create_map(spec, btf=btf)
    assert isinstance(made, HashMap)
    key, value = spec.key_size, bytes(range(spec.value_size))
    made.update((i.to_bytes(key, "little"), value) for i in range(entries))
    return made


def by_batches(table: HashMap) -> int:
    """The way that a user goes."""
    return sum(1 for _ in table.items())


def by_next_key(table: HashMap) -> int:
    """Two system calls an entry: next key, value."""
    count = 0
    for chunk in table._walk().one_by_one():
        table._unpack_key(chunk.keys), table._unpack_value(chunk.values)
        count += 1
    return count


def by_index(table: HashMap) -> int:
    """Keys in batches, then one system call for each value."""
    return sum(1 for key in table if table[key] is not None)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.maps", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--entries", type=int, default=100_000, metavar="N", help="entries of each (default %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each (default %(default)s)")
    options = parser.parse_args()
    spec = pybpfload.read_object(OBJECT)
    kinds = {
        "bytes": (MapSpec("bytes", MapType.HASH, key_size=4, value_size=8), None),
        "u32 -> u64": (spec.maps["hash"], spec.btf),
        "struct -> struct": (spec.maps["points"], spec.btf),
    }
    ways: dict[str, Callable[[HashMap], int]] = {
        "items()": by_batches,
        "next key, lookup": by_next_key,
        "for key: map[key]": by_index,
    }
    print(
        f"{options.entries:,} entries, {options.runs} runs of each, taking turns: "
        "median ms of CPU time (as a multiple of items())"
    )
    print_row("", *ways)
    for title, (kind, btf) in kinds.items():
        times: dict[str, list[float]] = {way: [] for way in ways}
        with filled(kind, btf, options.entries) as table:
            for _ in range(options.runs):
                for way, read in ways.items():
                    started = time.process_time()
                    count = read(table)
                    times[way].append((time.process_time() - started) * 1e3)
                    assert count == options.entries
        base = statistics.median(times["items()"])
        medians = [statistics.median(times[way]) for way in ways]
        print_row(title, *[f"{m:.0f}" + (f" ({m / base:.1f}x)" if m != base else "") for m in medians])
    return 0


if __name__ == "__main__":
    sys.exit(main())
