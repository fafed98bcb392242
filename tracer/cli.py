# SPDX-License-Identifier: MIT
"""The command line: what the user says, and what the process ends with.

Nothing heavy is imported here. `crypto-tracer --help` needs argparse and the tables of names; what a
command needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tracer.commands import COMMANDS, load_command
from tracer.errors import OutputError, ReaderGoneError, TracerError, UsageError
from tracer.log import DETAILS, NOTES, PROGRAM, WARNINGS, Log
from tracer.sinks import DEFAULT_FORMAT, SINKS
from tracer.stop import Stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

# The highest pid there can be: PID_MAX_LIMIT in include/linux/threads.h.
HIGHEST_PID = 1 << 22


def seconds(text: str) -> float:
    """A duration of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"`{text}`: expected a number of seconds, 0 for no end")
    return value


def process_id(text: str) -> int:
    """A process id of the command line."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_PID):
        raise argparse.ArgumentTypeError(f"`{text}`: expected a process id, 1 to {HIGHEST_PID}")
    return int(text)


# The options that several commands share: flags, and what argparse has to know.
OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "duration": (
        ("-d", "--duration"),
        {
            "type": seconds,
            "default": 0.0,
            "metavar": "S",
            "help": "end after so many seconds (default: at Ctrl-C)",
        },
    ),
    "pid": (
        ("-p", "--pid"),
        {"type": process_id, "default": 0, "metavar": "N", "help": "watch this process only"},
    ),
    "format": (
        ("-f", "--format"),
        {
            "choices": tuple(SINKS),
            "default": DEFAULT_FORMAT,
            "metavar": "FORMAT",
            "help": "; ".join(f"{name}: {row[2]}" for name, row in SINKS.items()) + " (default: %(default)s)",
        },
    ),
    "output": (
        ("-o", "--output"),
        {"default": "", "metavar": "FILE", "help": "append to this file (default: stdout)"},
    ),
    "no_redact": (
        ("--no-redact",),
        {"action": "store_true", "help": "show home directories and secrets in arguments"},
    ),
}


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        raise UsageError(message, hint=f"see {self.prog} --help")

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002  argparse gives none
        """Called by argparse for --help."""
        _say(self.format_help())


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; the options of a command are there if its name is among the arguments."""
    parser = Parser(
        prog=PROGRAM,
        description="See which cryptography this host really uses, live from the kernel.",
        epilog="exit codes: 0 done, 1 error, 2 usage, 3 no privilege, 4 kernel, 5 no probe, 128+N signal N",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="store_true", help="show the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS:
        if name in arguments:
            _add_command(commands, name, summary)
        else:
            commands.add_parser(name, help=summary)
    return parser


def _add_command(commands: argparse._SubParsersAction[Parser], name: str, summary: str) -> None:
    command = load_command(name)
    width = max((len(line) for line, _ in command.examples), default=0)
    examples = "".join(f"\n  {line:<{width}}  {text}" for line, text in command.examples)
    parser = commands.add_parser(
        name,
        help=summary,
        description=command.description,
        epilog=f"examples:{examples}" if examples else "",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for option in command.options:
        flags, settings = OPTIONS[option]
        parser.add_argument(*flags, **settings)
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("-v", "--verbose", action="store_true", help="tell more on stderr")
    talk.add_argument("-q", "--quiet", action="store_true", help="only warnings and errors on stderr")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code.

    Nothing is left for Python to complain about at the end: a stderr that takes no more changes no exit code.

    Args:
        argv: the arguments, without the program's name; those of the process if there are none.
    """
    started = time.monotonic()
    stop, log = Stop(), Log()
    stop.listen()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parse(arguments)
        if isinstance(options, int):
            return options
        options.started = started
        log = Log(DETAILS if options.verbose else WARNINGS if options.quiet else NOTES)
        return load_command(options.command).run(options, log, stop)
    except ReaderGoneError:
        return 0
    except TracerError as error:
        log.error(str(error), hint=error.hint)
        return error.exit_code
    finally:
        _give_up_stderr()


def _give_up_stderr() -> None:
    """Flush stderr now; if nobody takes it, let it go, so that Python does not end with 120."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _parse(arguments: Sequence[str]) -> argparse.Namespace | int:
    """What the user wants; the exit code if that is done already, as with --help."""
    try:
        options = build_parser(arguments).parse_args(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    if options.version:
        return _say(version() + "\n")
    if not options.command:
        raise UsageError("no command", hint=f"{PROGRAM} monitor shows what happens; see {PROGRAM} --help")
    return options


def version() -> str:
    """The line for --version."""
    from pybpfload._version import __version__

    return f"{PROGRAM} {__version__}"


def _say(text: str) -> int:
    """Bring text to stdout now: at the end of the process Python would complain about a closed pipe."""
    if sys.stdout is None:  # closed by whoever started us
        return 0
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"cannot write stdout: {error.strerror}") from error
    return 0
