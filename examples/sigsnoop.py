#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who sends which signal to whom, in an event loop. SIGUSR1 pauses it, by a variable that lives in the kernel."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

import pybpfload
from pybpfload.errors import printable

OBJECT = Path(__file__).with_suffix(".bpf.o")


def pause(obj: pybpfload.BpfObject) -> None:
    """Stop, or go on. The program sees it at once."""
    obj.variables["paused"] = not obj.variables["paused"]
    print("paused" if obj.variables["paused"] else "going on", flush=True)


async def main() -> None:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--pid", type=int, default=0, help="only signals to this process")
    options = parser.parse_args()

    spec = pybpfload.read_object(OBJECT)
    spec.variables["targ_receiver"] = options.pid
    with pybpfload.load(spec) as obj, obj.attach_all(), obj.events("events") as events:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, pause, obj)
        print(f"{'SENDER':>7} {'COMM':16} {'RECEIVER':>8} SIGNAL", flush=True)
        async for event in events:
            name = signal.Signals(event.signal).name if event.signal in set(signal.Signals) else event.signal
            print(
                f"{event.sender:7} {printable(event.comm.decode(errors='replace')):16} {event.receiver:8} {name}",
                flush=True,
            )


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
