"""``python -m pybpfload``: look at objects, BTF and the kernel; load an object and watch its events.

Results go to stdout and are plain text or, with ``--json``, one document. Errors go to stderr. Exit
codes: 0 all is well, 1 the file is at fault, a relocation failed, or a program was not loaded, 2 the
command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from pybpfload._version import __version__
from pybpfload.cli.command import Command, complain
from pybpfload.errors import BpfError, printable

__all__ = ["COMMANDS", "load_command", "main"]

# A module each, which is imported when its command is called: looking at a file needs nothing of the kernel half.
COMMANDS = ("info", "btf", "relocs", "load", "features")


def load_command(name: str) -> Command:
    """One of COMMANDS."""
    command: Command = import_module(f"{__name__}.{name}").COMMAND
    return command


def main(argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run a command; returns the exit code.

    Args:
        argv: without the program's name; that of the process when None.
        out: stdout when None.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="pybpfload", description="Look at BPF objects, BTF and the kernel.")
    parser.add_argument("--version", action="version", version=f"pybpfload {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in map(load_command, argv[:1] if argv and argv[0] in COMMANDS else COMMANDS):
        sub = commands.add_parser(command.name, help=command.help, description=command.help)
        command.configure(sub)
        sub.add_argument("--json", action="store_true", help="write one JSON document")
        sub.set_defaults(run=command.run)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # argparse has said what is wrong
        return end.code if isinstance(end.code, int) else 2
    out = out or sys.stdout
    if out is None:  # closed by whoever started us: >&-
        complain("no standard output to write to")
        return 1
    try:
        code: int = arguments.run(arguments, out)
    except BpfError as error:
        complain(error)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{printable(os.fsdecode(error.filename))}: " if error.filename is not None else ""
        complain(f"{where}{error.strerror or error}")
        return 1
    return code
