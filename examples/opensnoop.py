#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which files are opened, by whom, and what came of it: a ring buffer, read with `for`."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path

import pybpfload
from pybpfload.errors import printable

OBJECT = Path(__file__).with_suffix(".bpf.o")


def shown(name: bytes) -> str:
    """Names may hold any bytes, and would be commands to a terminal."""
    return printable(os.fsdecode(name))


def main() -> None:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--pid", type=int, default=0, help="only this process")
    options = parser.parse_args()

    spec = pybpfload.read_object(OBJECT)
    spec.variables["targ_pid"] = options.pid  # a constant for the verifier: the test costs nothing when it is 0
    text = {"comm": shown, "path": shown}
    with pybpfload.load(spec) as obj, obj.attach_all(), obj.events("events", convert=text) as events:
        print(f"{'PID':>7} {'COMM':16} {'RESULT':8} PATH", flush=True)
        for event in events:
            result = errno.errorcode[-event.result] if event.result < 0 else f"fd {event.result}"
            print(f"{event.pid:7} {event.comm:16} {result:8} {event.path}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
