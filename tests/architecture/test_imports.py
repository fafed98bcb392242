"""Imports stay light: a start costs what the command needs, and no more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.sources import ROOT
from tracer.commands import COMMANDS

# Prints what a statement imports, beyond what the interpreter itself had.
PROBE = """
import json, sys
sys.path.insert(0, {root!r})
before = set(sys.modules)
try:
    {statement}
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""
# Modules that take 10 ms and more, and that no start needs.
HEAVY = {
    "asyncio",
    "ctypes",
    "dataclasses",
    "elftools",
    "importlib.metadata",
    "inspect",
    "logging",
    "rich",
    "typing",
}


def modules_imported_by(statement: str) -> set[str]:
    """Names of the modules that a statement brings into a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", PROBE.format(root=str(ROOT), statement=statement)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stderr.splitlines()[-1]))


def test_import_pybpfload_loads_nothing_heavy():
    """The face re-exports lazily: the library's own modules come with their first use."""
    modules = modules_imported_by("import pybpfload")
    assert modules & HEAVY == set()
    assert {name for name in modules if name.startswith("pybpfload.")} <= {"pybpfload._version"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(option):
    """They answer at once: no library, no rich, nothing that only work needs."""
    modules = modules_imported_by(f"from tracer.cli import main; sys.exit(main([{option!r}]))")
    assert "tracer.cli" in modules
    assert modules & HEAVY == set()
    assert {name for name in modules if name.startswith("pybpfload.")} <= {"pybpfload._version"}


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_help_of_a_command_loads_nothing_heavy(name):
    """Also the help of the command that later loads everything."""
    modules = modules_imported_by(f"from tracer.cli import main; sys.exit(main([{name!r}, '--help']))")
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["snapshot", "-p", "1", "-o", "/dev/null"], {"typing"}),
        (["schema", "-o", "/dev/null"], {"typing"}),
        (["snapshot", "-p", "1", "-o", "/dev/null", "-f", "summary", "-l", "libssl*"], {"typing"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_without_bpf_loads_no_library_and_no_colours(arguments, allowed):
    """Neither rich, nor pybpfload, nor what only they need."""
    modules = modules_imported_by(f"from tracer.cli import main; sys.exit(main({arguments!r}))")
    assert modules & HEAVY <= allowed
    assert {name for name in modules if name.startswith("pybpfload.")} <= {"pybpfload._version"}


def test_probe_sees_heavy_modules():
    """The measurement above can fail."""
    assert "dataclasses" in modules_imported_by("import dataclasses")
