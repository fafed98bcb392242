"""The command line: options, errors and exit codes."""

from __future__ import annotations

import json
import shlex
import signal

import pytest

from tracer import commands
from tracer.cli import build_parser, main
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
from tracer.options import OPTIONS
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
    assert (options.duration, options.pid, options.format, options.output) == (0.0, (), "json-stream", "")
    assert options.no_redact is False


def test_monitor_takes_the_options_of_the_c_tool(asked):
    """A script written for it runs unchanged."""
    line = "monitor -d 60 -p 4711 -n nginx -l libssl -F *.pem -f json-array -o out.json --no-redact -v"
    assert main(line.split()) == 0
    (options,) = asked
    assert (options.duration, options.pid, options.output) == (60.0, (4711,), "out.json")
    assert (options.name, options.library, options.file) == (("nginx",), ("libssl",), ("*.pem",))
    assert (options.no_redact, options.verbose, options.quiet) == (True, True, False)


def test_option_given_again_adds_an_alternative(asked):
    """Or, for process and user ids, with commas."""
    assert main(["monitor", "-p", "1,2", "-p", "3", "--uid", "0,root", "-n", "a,b", "-n", "c"]) == 0
    (options,) = asked
    assert (options.pid, options.uid, options.name) == ((1, 2, 3), (0, 0), ("a,b", "c"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["monitor", "-v", "-q"], "not allowed with"),
        (["monitor", "-d", "-1"], "expected a number of seconds"),
        (["monitor", "-p", "-1"], "expected"),
        (["monitor", "-f", "yaml"], "invalid choice"),
        (["monitor", "--uid", "no-such-user-here"], "expected the name of a user"),
        (["monitor", "--no-such-option"], "unrecognized arguments"),
        (["no-such-command"], "invalid choice"),
        (["help", "no-such-command"], "expected one of"),
        ([], "no command"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_expected(capsys, arguments, words):
    """On stderr, with nothing on stdout."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_help_command_is_help_option(capsys):
    """`help monitor` and `monitor --help` say the same."""
    assert main(["help", "monitor"]) == 0
    text = capsys.readouterr().out
    assert main(["monitor", "--help"]) == 0
    assert capsys.readouterr().out == text
    assert "--follow-children" in text


def test_version_command_says_what_it_runs_on(capsys):
    """The first line is that of --version."""
    assert main(["--version"]) == 0
    line = capsys.readouterr().out
    assert main(["version"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(line)
    assert "kernel" in text
    assert "MIT" in text


def test_configuration_gives_defaults_and_the_command_line_wins(asked, tmp_path):
    """Lists are replaced, not added to."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"name": ["nginx", "haproxy"], "duration": 5, "no-redact": True, "quiet": True}))
    assert main(["monitor", "--config", str(path), "-n", "cat", "-v"]) == 0
    (options,) = asked
    assert (options.name, options.duration, options.no_redact) == (("cat",), 5.0, True)
    assert (options.verbose, options.quiet) == (True, False)


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


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name, _ in COMMANDS)], ids=" ".join)
def test_help_fits_a_screen(capsys, arguments):
    """Not more than a page, and it has examples."""
    assert main(arguments) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 45
    assert all(len(line) <= 100 for line in lines)
    assert "examples:" in lines


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
        arguments = shlex.split(line.partition(" | ")[0].partition(" -- ")[0])
        arguments = arguments[arguments.index("crypto-tracer") + 1 :]
        assert build_parser(arguments).parse_args(arguments).command == name


def test_help_fits_narrow_terminals(monkeypatch, capsys):
    """Examples and what ends the page, too."""
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 60
    assert "128+N signal N" in shown
