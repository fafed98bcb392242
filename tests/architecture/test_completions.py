"""The completions, in the shells that they are for: they offer what the parser takes, and nothing else."""

from __future__ import annotations

import pytest

from tests.support.shells import Zsh, bash, fish
from tracer.commands import COMMANDS, load_command
from tracer.options import OPTIONS, TALK

NAMES = [name for name, _ in COMMANDS]


@pytest.fixture(scope="module", params=["bash", "fish", "zsh"])
def shell(request):
    """Says what a shell offers for the last of some words."""
    if request.param == "zsh":
        asked = Zsh()
        yield asked
        asked.close()
    else:
        yield {"bash": bash, "fish": fish}[request.param]


def options_of(name):
    """The long options that a command takes."""
    taken = (*load_command(name).options, *TALK)
    return {OPTIONS[option].flags[-1] for option in taken} | {"--help"}


def test_shell_offers_all_commands(shell):
    """And no other word."""
    offered = {word for word in shell(["crypto-tracer", ""]) if not word.startswith("-")}
    assert offered == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_shell_offers_the_options_of_a_command(shell, name):
    """Exactly those that it takes."""
    offered = {word for word in shell(["crypto-tracer", name, "--"]) if word.startswith("--")}
    assert offered == options_of(name)


def test_shell_offers_values(shell):
    """Formats: those that the command knows."""
    assert shell(["crypto-tracer", "monitor", "--format", "cs"]) == ["csv"]
    assert shell(["crypto-tracer", "snapshot", "--format", "cs"]) == []
    assert set(shell(["crypto-tracer", "snapshot", "--format", ""])) == set(load_command("snapshot").formats)


def test_shell_offers_files_where_they_are_meant(shell, tmp_path):
    """As the value of --output, and not as that of --pid."""
    (tmp_path / "some-file").touch()
    for option, count in (("--output", 1), ("--config", 1), ("--pid", 0)):
        found = shell(["crypto-tracer", "monitor", option, f"{tmp_path}/some"])
        assert len([word for word in found if "some-file" in word]) == count, option
