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
from tracer.options import GROUPS, OPTIONS, TALK, defaults
from tracer.stop import Stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from tracer.commands import Command


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        raise UsageError(message, hint=f"see {self.prog} --help")

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002  argparse gives none
        """Called by argparse for --help."""
        _say(self.format_help())


class Help(argparse.RawDescriptionHelpFormatter):
    """One line for each option; examples stay as they are."""

    def __init__(self, prog: str) -> None:
        from shutil import get_terminal_size

        width = min(96, get_terminal_size((98, 24)).columns - 2)  # 96 where there is no terminal
        super().__init__(prog, max_help_position=min(28, width // 2), width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Lines as they are, but none longer than the terminal is wide."""
        from textwrap import fill

        lines = (fill(line, width, subsequent_indent="    ", break_on_hyphens=False) for line in text.splitlines())
        return "\n".join(indent + line for line in lines)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """``-o, --output FILE``: the value once, as newer Pythons have it."""
        if not action.option_strings:
            return super()._format_action_invocation(action)
        value = f" {action.metavar}" if action.metavar else ""
        return ", ".join(action.option_strings) + value


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; the options of a command are there if its name is among the arguments."""
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND [OPTIONS]",
        description="See which cryptography this host really uses, live from the kernel.",
        epilog=EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="store_true", help="show the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", prog=PROGRAM)
    for name, summary in COMMANDS:
        if name in arguments:
            _add_command(commands, name, summary)
        else:
            commands.add_parser(name, help=summary)
    return parser


EPILOG = f"""examples:
  sudo {PROGRAM} monitor                    all there is, until Ctrl-C
  sudo {PROGRAM} files --file '*.key'       who opens keys
  sudo {PROGRAM} run -o p.json -- make      what a command does
  {PROGRAM} snapshot                        what runs now

exit codes: 0 done, 1 error, 2 usage, 3 no privilege, 4 kernel, 5 no probe, 128+N signal N"""


def _add_command(commands: argparse._SubParsersAction[Parser], name: str, summary: str) -> None:
    command = load_command(name)
    width = max((len(line) for line, _ in command.examples), default=0)
    examples = "".join(f"\n  {line:<{width}}  {text}" for line, text in command.examples)
    rest = f" {command.rest[0]}" if command.rest else ""
    parser = commands.add_parser(
        name,
        help=summary,
        usage=f"{PROGRAM} {name} [OPTIONS]{rest}",
        description=command.description,
        epilog=f"examples:{examples}" if examples else "",
        formatter_class=Help,
        allow_abbrev=False,
        add_help=False,
    )
    taken = (*command.options, *TALK)
    for title in GROUPS:
        rows = [row for row in OPTIONS.values() if row.group == title and row.name in taken]
        group = parser.add_argument_group(title) if rows else None
        if group is None:
            continue
        if title == GROUPS[-1]:
            group.add_argument("-h", "--help", action="help", help="show this help and end")
        talk = None
        for row in rows:
            if row.name in TALK:
                talk = talk or group.add_mutually_exclusive_group()
                row.add_to(talk)
            else:
                added = row.add_to(group)
                if row.name == "format" and command.formats:
                    added.help = " ".join(command.formats)
    if command.rest:
        metavar, text, count = command.rest
        parser.add_argument("rest", nargs=count, metavar=metavar, help=text, default=argparse.SUPPRESS)


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
        options.started, options.main, options.say, options.version_line = started, main, _say, version()
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
    arguments = list(arguments)
    rest = None
    if "--" in arguments:  # what is behind it is a command of its own
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    try:
        given = build_parser(arguments).parse_args(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    if given.version:
        return _say(version() + "\n")
    if not given.command:
        raise UsageError("no command", hint=f"{PROGRAM} monitor shows what happens; see {PROGRAM} --help")
    if rest is not None:
        begun = getattr(given, "rest", [])
        given.rest = [*begun, *(["--"] if begun else []), *rest]
    return complete(load_command(given.command), given)


def complete(command: Command, given: argparse.Namespace) -> argparse.Namespace:
    """The options that were given, over those of the configuration file, over the defaults.

    Raises:
        UsageError: the file or a format does not fit.
    """
    names = (*command.options, *TALK)
    values: dict[str, Any] = {"rest": [], "words": (), **defaults(names, command.own)}
    path = getattr(given, "config", "")
    if path:
        from tracer import config

        found = config.read(path)
        values.update(config.options_of(found, path, names))
        if hasattr(given, "verbose") or hasattr(given, "quiet"):
            values.update(verbose=False, quiet=False)
        if hasattr(given, "no_redact") or hasattr(given, "pseudonyms"):
            values.update(no_redact=False, pseudonyms="")
        values["words"] = config.extend_catalog(found, path)
    values.update(vars(given))
    _name_users(values)
    if values["verbose"] and values["quiet"]:
        raise UsageError("verbose and quiet exclude each other", hint=f"look into {path}")
    if command.formats and values["format"] not in command.formats:
        raise UsageError(
            f"{command.name}: format {values['format']} is for events, and this is a document",
            hint=f"choose one of {', '.join(command.formats)}",
        )
    return argparse.Namespace(**values)


def _name_users(values: dict[str, Any]) -> None:
    """From here on users have pseudonyms, if that is asked for."""
    if not values.get("pseudonyms"):
        return
    if values["no_redact"]:
        raise UsageError("--pseudonyms and --no-redact exclude each other", hint="leave one of them out")
    from tracer.pipeline.pseudonyms import read_key
    from tracer.pipeline.redact import use_pseudonyms

    use_pseudonyms(read_key(values["pseudonyms"]))


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
