"""``python -m pybpfload``: look at objects and at BTF.

Results go to stdout and are plain text or, with ``--json``, one document. Errors go to stderr. Exit
codes: 0 all is well, 1 the file is at fault or a relocation failed, 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from pybpfload._version import __version__
from pybpfload.cli.btf import COMMAND as BTF
from pybpfload.cli.command import Command, complain
from pybpfload.cli.info import COMMAND as INFO
from pybpfload.cli.relocs import COMMAND as RELOCS
from pybpfload.errors import BpfError, printable

__all__ = ["COMMANDS", "main"]

COMMANDS: tuple[Command, ...] = (INFO, BTF, RELOCS)


def main(argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run a command; returns the exit code.

    Args:
        argv: without the program's name; that of the process when None.
        out: stdout when None.
    """
    parser = argparse.ArgumentParser(prog="pybpfload", description="Look at BPF objects and at BTF.")
    parser.add_argument("--version", action="version", version=f"pybpfload {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.help)
        command.configure(sub)
        sub.add_argument("--json", action="store_true", help="write one JSON document")
        sub.set_defaults(run=command.run)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # argparse has said what is wrong
        return end.code if isinstance(end.code, int) else 2
    try:
        code: int = arguments.run(arguments, out or sys.stdout)
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
