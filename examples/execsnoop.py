#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which programs start, with their arguments: records of different lengths, made into a class of our own."""

from __future__ import annotations

import argparse
import os
import pwd
import shlex
from pathlib import Path
from typing import NamedTuple

import pybpfload
from pybpfload.errors import printable

OBJECT = Path(__file__).with_suffix(".bpf.o")


class Started(NamedTuple):
    """The members of struct started, in their order."""

    pid: int
    ppid: int
    uid: int
    comm: bytes
    args: str

    @property
    def user(self) -> str:
        """The name, where there is one."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


def command_line(args: bytes) -> str:
    """As one would type it."""
    return printable(shlex.join(os.fsdecode(args).rstrip("\0").split("\0")))


def main() -> None:
    """Until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-P", "--parent", type=int, default=0, help="only what this process starts")
    options = parser.parse_args()

    spec = pybpfload.read_object(OBJECT)
    spec.variables["targ_parent"] = options.parent
    convert = {"args": command_line}
    with pybpfload.load(spec) as obj, obj.attach_all(), obj.events("events", convert=convert, into=Started) as events:
        print(f"{'PID':>7} {'PPID':>7} {'USER':10} COMMAND", flush=True)
        events.run(lambda e: print(f"{e.pid:7} {e.ppid:7} {e.user:10} {e.args}", flush=True))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
