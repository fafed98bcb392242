"""The comparison with libbpf at large, with counts: ``python -m tests.oracle --help``."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.oracle.explained import explanation
from tests.oracle.variations import differing_programs
from tests.support import libbpf, ours
from tests.support.debian import PACKAGES, package_objects
from tests.support.debian import libbpf as libbpf_of
from tests.support.differences import differences
from tests.support.kernels import RUNNING, SERIES, Target, kernel_target
from tests.support.loads import Loads


def count(tally: Counter[str], mine: Loads, theirs: Loads) -> None:
    """Enter what became of the programs of one object."""
    names = {*mine.programs, *mine.stand_ins, *theirs.programs, *theirs.stand_ins, *mine.errors, *theirs.errors} - {""}
    for name in names:
        taken = [name in loads.programs or name in loads.stand_ins for loads in (mine, theirs)]
        tally["compared" if all(taken) else "refused by one" if any(taken) else "refused by both"] += 1
    tally["slots"] += sum(len(load.code) for load in [*theirs.programs.values(), *theirs.stand_ins.values()])


def compare(suite: str, oracle: str, names: list[str], folder: Path) -> bool:
    """All packages of a release against all kernels; prints a row for each kernel."""
    driver = libbpf.build_driver(libbpf_of(oracle), folder / f"driver-{oracle}")
    good = True
    for name in names:
        target: Target = kernel_target(name, folder / f"{suite}-{name}")
        tally: Counter[str] = Counter()
        start = time.monotonic()
        for package in PACKAGES[suite]:
            for path in package_objects(suite, package):
                mine, theirs = ours.loads_of(path, target), libbpf.loads_of(driver, path, target)
                tally["objects"] += 1
                count(tally, mine, theirs)
                for text in differences(mine, theirs):
                    why = explanation(text)
                    tally[f"explained: {why}" if why else "DIFFERENCES"] += 1
                    if not why:
                        good = False
                        print(f"{package}/{path.name}: {text}")
        print(f"{suite} on {name}: {dict(sorted(tally.items()))} {time.monotonic() - start:.0f} s", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--suite", action="append", choices=PACKAGES, help="a release of Debian (default: all)")
    parser.add_argument("--libbpf", choices=PACKAGES, help="the release whose libbpf compares (default: the same)")
    parser.add_argument("--kernel", action="append", choices=[RUNNING, *SERIES], help="(default: all)")
    parser.add_argument("--variations", nargs=2, type=int, metavar=("FIRST", "LAST"), help="seeds of random types")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.variations:
            driver = libbpf.build_driver(libbpf_of(options.libbpf or "trixie"), folder / "driver")
            tally: Counter[str] = Counter()
            for seed in range(*options.variations):
                result = differing_programs(driver, folder, seed)
                tally.update({"equal": result.equal, "refused by both": result.refused, "unused": result.unused})
                tally["DIFFERENCES"] += len(result.differences)
                print("".join(f"{text}\n" for text in result.differences), end="")
            print(f"variations {options.variations}: {dict(tally)}")
            return 1 if tally["DIFFERENCES"] else 0
        for suite in options.suite or PACKAGES:
            good &= compare(suite, options.libbpf or suite, options.kernel or [RUNNING, *SERIES], folder)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
