"""The command line as a whole: usage, errors, pipes, and names that would rather be commands to a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pybpfload._version import __version__
from pybpfload.cli import COMMANDS, load_command
from tests.support.commands import run
from tests.support.objects import DATA, path_of
from tests.support.sources import ROOT

OBJECTS = sorted(p.name.split(".")[0] for p in DATA.glob("*.bpf.o"))
# One call of each command, in both forms.
CALLS = {
    "info": ("info", "{}"),
    "info json": ("info", "{}", "--json"),
    "btf": ("btf", "{}"),
    "btf json": ("btf", "{}", "--json"),
    "btf c": ("btf", "{}", "--c"),
    "relocs": ("relocs", "{}", "--local"),
    "relocs json": ("relocs", "{}", "--local", "--json"),
}


def call(capsys, name: str, path: object):
    """One of CALLS on a file."""
    return run(capsys, *(part.format(path) for part in CALLS[name]))


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("command", CALLS)
def test_command_on_every_object_succeeds(command, name, capsys):
    """Exit code 0, something on stdout, nothing on stderr; JSON is JSON."""
    result = call(capsys, command, path_of(name))
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith("\n")
    if "json" in command:
        assert result.document


@pytest.mark.parametrize("columns", ["80", "100", "120"])
@pytest.mark.parametrize("command", ["info", "btf", "relocs"])
def test_command_fits_the_terminal(command, columns, capsys, monkeypatch):
    """Columns and names give way, so that no line is wrapped."""
    monkeypatch.setenv("COLUMNS", columns)
    for name in OBJECTS:
        lines = [line for line in call(capsys, command, path_of(name)).lines[1:] if not line.startswith("tests/")]
        assert [line for line in lines if len(line) > int(columns)] == []


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("info",), ("info", "a", "b"), ("btf", "--depth", "x")])
def test_main_wrong_usage_is_exit_code_two(arguments, capsys):
    """With the usage on stderr."""
    result = run(capsys, *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("usage: pybpfload")


def test_main_help_names_every_command(capsys):
    """The registry is what the help shows."""
    result = run(capsys, "--help")
    assert result.code == 0
    assert [command.name for command in map(load_command, COMMANDS)] == list(COMMANDS)
    for command in map(load_command, COMMANDS):
        assert f"{command.name} " in result.out
        assert command.help in " ".join(result.out.split())
        assert run(capsys, command.name, "--help").code == 0


def test_main_version(capsys):
    """That of the package."""
    assert run(capsys, "--version").out == f"pybpfload {__version__}\n"


@pytest.mark.parametrize("command", ["info", "btf", "relocs", "load"])
def test_command_on_a_missing_file_says_which(command, capsys, tmp_path):
    """One line, exit code 1."""
    path = tmp_path / "no\nsuch.o"
    result = run(capsys, command, path)
    assert (result.code, result.out) == (1, "")
    assert result.err == f"pybpfload: {tmp_path}/no\\nsuch.o: No such file or directory\n"


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), b"\x9f\xeb\x01\x00" + bytes(9)]
)
@pytest.mark.parametrize("command", ["info", "btf", "relocs", "load"])
def test_command_on_no_object_is_one_line_and_exit_code_one(command, content, capsys, tmp_path):
    """Whatever the file is, the error names it."""
    path = tmp_path / "file.o"
    path.write_bytes(content)
    result = run(capsys, command, path)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"pybpfload: {path}: ")


# Names of the objects' own, and what is put in their place, in symbols and in BTF alike.
HOSTILE = {
    "maps": {b"typed": b"\x1b[31m", b"uses_all": b"a\nb\tc\x07\xff\x9b", b"plain": b'"\\\x7f*/'},
    "core": {b"offset": b"\x1b]0;x\x07", b"tree": b"\r\nxy", b"leaf": b"*/\xc2\x85"},
    "externs": {b"CONFIG_HZ": b"\x1b[2J\x1b[0m", b"schedule": b"\xe2\x80\xae\x1b[0mx"},
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", CALLS)
def test_command_shows_hostile_names_escaped(command, name, capsys, tmp_path):
    """No control character reaches the terminal; JSON is ASCII."""
    data = path_of(name).read_bytes()
    for old, new in HOSTILE[name].items():
        assert len(new) <= len(old)
        assert b"\0" + old + b"\0" in data
        data = data.replace(b"\0" + old + b"\0", b"\0" + new.ljust(len(old), b"_") + b"\0")
    path = tmp_path / "hostile.bpf.o"
    path.write_bytes(data)
    result = call(capsys, command, path)
    assert all(line.isprintable() for line in (result.out + result.err).split("\n"))
    assert result.code == (0 if result.out else 1)
    if "json" in command and result.out:
        assert result.out.isascii()
        assert result.document


def test_hostile_objects_are_read(capsys, tmp_path):
    """The names of the test above do get as far as the output."""
    data = path_of("maps").read_bytes().replace(b"typed\0", b"\x1b[31m\0")
    path = tmp_path / "hostile.bpf.o"
    path.write_bytes(data)
    assert run(capsys, "info", path).row("\\x1b[31m")[1] == "HASH"
    assert "\x1b[31m" in {found["name"] for found in run(capsys, "info", path, "--json").document["maps"]}


def key_lists(document: object) -> set[tuple[str, ...]]:
    """The names of the members of every object in a document, but for those whose names are data."""
    found: set[tuple[str, ...]] = set()
    if isinstance(document, dict):
        found.add(tuple(document))
        for name, part in document.items():
            if name not in ("value", "values", "struct_ops", "kinds", "names") or isinstance(part, list):
                found |= key_lists(part)
    elif isinstance(document, list):
        found = set().union(*map(key_lists, document))
    return found


@pytest.mark.parametrize(
    "arguments", [("info", "nested"), ("info", "externs"), ("info", "ring"), ("btf", "core"), ("btf", "core", "tree"),
    ("btf", "core", "color"), ("btf", "core", "__u32"), ("relocs", "core", "--btf", path_of("core"))], ids=str,
)  # fmt: skip
def test_documents_have_the_members_that_the_manual_names(arguments, capsys):
    """In this order where it lists them, each by itself where it explains them."""
    manual = " ".join((ROOT / "docs" / "library-cli.md").read_text().split())
    command, name, *rest = arguments
    lists = key_lists(run(capsys, command, path_of(name), *rest, "--json").document)
    assert lists
    for names in lists:
        named = [n for n in names if f"`{n}`" in manual]
        listed = " ".join(n for n in names if n not in ("members", "values", "type") or n in names[:3])
        assert f"`{' '.join(names)}`" in manual or f"`{listed}`" in manual or len(named) == len(names), names


# As a process ---------------------------------------------------------------------------------------


def process(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """`python -m pybpfload`, from elsewhere."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "pybpfload", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **options)  # type: ignore[call-overload,no-any-return]


def test_module_runs_as_a_program(tmp_path):
    """What a user types."""
    out, err = (running := process("info", path_of("subprogs"), cwd=tmp_path)).communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert b"\n2 programs\n" in out


def test_module_whose_reader_goes_away_ends_quietly():
    """Like `... | head`: by SIGPIPE, without a word."""
    with process("info", path_of("relos")) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        err = running.stderr.read()
        assert (running.wait(60), err) == (-signal.SIGPIPE, b"")


def test_module_on_a_terminal_without_unicode_escapes(tmp_path):
    """A name that the locale cannot show is no reason to fail."""
    path = tmp_path / "umlaut.bpf.o"
    path.write_bytes(path_of("maps").read_bytes().replace(b"plain\0", "pläin"[:4].encode() + b"\0"))
    out, err = (running := process("info", path, env={"PYTHONIOENCODING": "ascii"})).communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert rb"pl\xe4i" in out


def test_command_without_stdout_says_so():
    """`>&-`: there is nothing to write to, and that is no traceback."""
    command = [sys.executable, "-m", "pybpfload", "info", str(path_of("maps"))]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(shell, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "pybpfload: no standard output to write to\n")
