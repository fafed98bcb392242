"""The command line: options, errors and exit codes."""

from __future__ import annotations

import argparse
import signal

import pytest

from tracer import cli, commands
from tracer.cli import OPTIONS, build_parser, main
from tracer.commands import COMMANDS, load_command
from tracer.errors import (
    KernelError,
    LoadError,
    NoPrivilegeError,
    OutputError,
    ReaderGoneError,
    TracerError,
    UsageError,
)
from tracer.stop import SIGNALS


@pytest.fixture(autouse=True)
def _own_handlers():
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def asked(monkeypatch):
    """What `monitor` is asked to do, instead of doing it."""
    seen = []

    def run(options, log, stop):
        seen.append(options)
        return stop.exit_code

    monkeypatch.setattr(load_command("monitor"), "run", run)
    return seen


def test_monitor_defaults(asked):
    """Everything, to stdout, redacted, until a signal."""
    assert main(["monitor"]) == 0
    (options,) = asked
    assert (options.duration, options.pid, options.format, options.output) == (0.0, 0, "json-stream", "")
    assert options.no_redact is False


def test_monitor_takes_the_options_of_the_c_tool(asked):
    """A script written for it runs unchanged."""
    assert main("monitor -d 60 -p 4711 -f json-stream -o out.jsonl --no-redact -v".split()) == 0
    (options,) = asked
    assert (options.duration, options.pid, options.output) == (60.0, 4711, "out.jsonl")
    assert (options.no_redact, options.verbose, options.quiet) == (True, True, False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TracerError("x"), 1),
        (OutputError("x"), 1),
        (UsageError("x"), 2),
        (NoPrivilegeError("x"), 3),
        (KernelError("x"), 4),
        (LoadError("x"), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_of_a_command_becomes_its_exit_code(monkeypatch, capsys, error, code):
    """One place turns errors into words and numbers."""
    error.hint = "do this"

    def run(options, log, stop):
        raise error

    monkeypatch.setattr(load_command("monitor"), "run", run)
    assert main(["monitor"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "crypto-tracer: error: x\n  hint: do this\n"


def test_reader_that_is_gone_is_no_error(monkeypatch, capsys):
    """`| head` has had enough."""

    def run(options, log, stop):
        raise ReaderGoneError("x")

    monkeypatch.setattr(load_command("monitor"), "run", run)
    assert main(["monitor"]) == 0
    assert capsys.readouterr().err == ""


def test_bug_is_not_hidden(monkeypatch):
    """An error that nobody thought of keeps its traceback."""

    def run(options, log, stop):
        raise ZeroDivisionError

    monkeypatch.setattr(load_command("monitor"), "run", run)
    with pytest.raises(ZeroDivisionError):
        main(["monitor"])


def test_version_is_one_line_on_stdout(capsys):
    """Name and number."""
    from pybpfload import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"crypto-tracer {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["monitor", "--help"]])
def test_help_fits_a_screen(capsys, arguments):
    """80 columns, but for the examples, and not more than a page."""
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 90 for line in lines)


def test_every_command_is_in_the_help(capsys):
    """With what it does."""
    main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text and summary in text for name, summary in COMMANDS)


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_command_takes_options_that_exist(name):
    """The table of options and the commands agree."""
    command = load_command(name)
    assert isinstance(command, commands.Command)
    assert command.name == name
    assert set(command.options) <= set(OPTIONS)


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_examples_of_a_command_are_valid(name):
    """What the help shows can be typed."""
    for line, _ in load_command(name).examples:
        arguments = line.partition("|")[0].split()[2:]
        build_parser(arguments).parse_args(arguments)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("60", 60.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_seconds_takes_numbers(text, value):
    """Fractions too."""
    assert cli.seconds(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "-0.1"])
def test_seconds_refuses_what_is_no_duration(text):
    """With what was expected."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number of seconds"):
        cli.seconds(text)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1.5", "99999999999", "²", "1 2"])
def test_process_id_refuses_what_is_none(text):
    """With what was expected."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected a process id"):
        cli.process_id(text)
