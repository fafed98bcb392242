#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How often a process calls functions of a library: one link to all of them, told apart by their cookies."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pybpfload

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> None:
    """Until Ctrl-C, or as long as it was told to; then it prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--pid", type=int, default=-1, help="only this process; its container's library, too")
    parser.add_argument("-d", "--duration", type=float, default=1e9, help="in seconds")
    parser.add_argument("library", help="libc.so.6, libssl, a path")
    parser.add_argument("functions", nargs="+", help="malloc, free, ...")
    options = parser.parse_args()

    spec = pybpfload.read_object(OBJECT)
    with pybpfload.load(spec) as obj:
        cookies = range(len(options.functions))
        with pybpfload.attach_uprobe_multi(
            obj.programs["on_call"], options.library, options.functions, cookies=cookies, pid=options.pid
        ) as link:
            try:
                print(f"attached by {link.kind}", flush=True)
                time.sleep(options.duration)
            except KeyboardInterrupt:
                pass
        calls = obj.maps["calls"]
        for function, cookie in zip(options.functions, cookies):
            print(f"{calls[cookie].sum():>10}  {function}")


if __name__ == "__main__":
    main()
