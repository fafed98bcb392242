#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the kernel tests under several kernels, each in an emulator, and say in a line each how they fared.

A kernel is a name that kernel-matrix knows, or "this" for the running one. kernel-matrix is looked for in
../shared/tools, or where KERNEL_MATRIX says; without it, only "this" runs. What pytest prints goes to
build/kernels/NAME.log, and what it saw, for tools/gen_support.py, to build/kernels/NAME.jsonl.

Usage: kernel_test.py [--jobs N] KERNEL... [-- PYTEST-ARGUMENT...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "kernels"
MATRIX = Path(os.environ.get("KERNEL_MATRIX", ROOT.parent / "shared" / "tools" / "kernel-matrix"))
NEEDED = ("qemu-system-x86", "busybox-static", "kmod")
# The emulator has no cmpxchg16b. Without it newer kernels have no kmalloc_nolock(), on which arenas and local storage
# rest, but for caches that are checked.
APPEND = "slab_debug=F,kmalloc-*"
GUEST_FAILED = 125
TIMEOUT_S = 3600
# The tracer as a whole takes long in an emulator. Few of its tests show that each probe works in the form that the
# kernel has for it.
TESTS = (
    "tests/kernel",
    "tests/e2e/test_doctor.py::test_doctor_tries_every_probe_and_exits_with_0",
    "tests/e2e/test_tls.py::test_tls_python_both_sides_have_one_event_each[127.0.0.1]",
)


def run(arguments: list[str], kernel: str) -> int:
    """Run the tests under a kernel and print its line; gives pytest's exit status."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS]
    command += [f"--support-log={LOGS / kernel}.jsonl", *arguments]
    if kernel != "this":
        boot = [str(MATRIX), "run", "--kernel", kernel, "--rw", str(LOGS), "--memory", "2G", f"--timeout={TIMEOUT_S}"]
        command = [*boot, f"--append={APPEND}", "--", *command]
    log = LOGS / f"{kernel}.log"
    for _ in range(2):
        with log.open("w") as file:
            status = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        # The emulator's own failure says nothing of the tests, which may run once more.
        if status != GUEST_FAILED:
            break
    lines = log.read_text(errors="replace").splitlines() or ["nothing was printed"]
    failures = [f"    {line}" for line in lines if line.startswith(("FAILED ", "ERROR "))]
    said = lines[-1].strip("= ")
    print("\n".join([f"{kernel}: {said} ({time.monotonic() - started:.0f} s in all)", *failures]), flush=True)
    if status and not failures:
        print("\n".join(lines[-30:]), flush=True)
    return status


def fetched(kernels: list[str]) -> list[str]:
    """Those of the kernels that can run here, which are fetched."""
    others = [name for name in kernels if name != "this"]
    if others and not MATRIX.exists():
        print(f"kernel-matrix, which boots other kernels, is not at {MATRIX}: without {', '.join(others)}")
        return [name for name in kernels if name == "this"]
    if others:
        subprocess.run([str(ROOT / "tools" / "install_packages.sh"), *NEEDED], check=True)
        subprocess.run([str(MATRIX), "fetch", *others], check=True)
    return kernels


def main() -> int:
    """Returns the first exit status of pytest that is not 0."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = sys.argv[end + 1 :]
    parser = argparse.ArgumentParser(description="run the kernel tests under several kernels")
    parser.add_argument("kernels", nargs="+", metavar="KERNEL")
    parser.add_argument("--jobs", type=int, default=1, help="so many kernels at once (default: 1)")
    options = parser.parse_args(sys.argv[1:end])
    LOGS.mkdir(parents=True, exist_ok=True)
    kernels = fetched(options.kernels)
    with ThreadPoolExecutor(options.jobs) as pool:
        statuses = list(pool.map(partial(run, arguments), kernels))
    return next(filter(None, statuses), 0)


if __name__ == "__main__":
    sys.exit(main())
