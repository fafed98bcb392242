"""docs/api.md is what the docstrings say, and pages name only what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import pytest

import pybpfload
from tests.support.sources import ROOT

# What the variables of our examples are.
OWNERS = {
    "events": pybpfload.EventReader,
    "link": pybpfload.Link,
    "m": pybpfload.HashMap,
    "obj": pybpfload.BpfObject,
    "program": pybpfload.Program,
    "spec": pybpfload.ObjectSpec,
}
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "examples" / "README.md"])


def test_api_page_is_fresh():
    """tools/gen_api.py writes the page that is committed."""
    command = [sys.executable, "tools/gen_api.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_api_page_has_every_public_name():
    """Each of `__all__` with a heading of its own."""
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    assert set(pybpfload.__all__) - {"__version__"} <= headings


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_names_of_a_page_exist(page):
    """`pybpfload.x.y` is a module or something in one, wherever it stands."""
    missing = []
    for name in set(re.findall(r"\bpybpfload((?:\.[a-zA-Z_]\w*(?!\w|\.\.))+)", page.read_text())):
        value, module = pybpfload, "pybpfload"
        for part in name[1:].split("."):
            if not hasattr(value, part) and hasattr(value, "__path__"):
                try:
                    import_module(f"{module}.{part}")
                except ImportError:
                    pass
            if not hasattr(value, part):
                missing.append(name)
                break
            value, module = getattr(value, part), f"{module}.{part}"
    assert missing == []


def test_methods_of_the_page_for_newcomers_exist():
    """Those in the last column, which is ours."""
    text = (ROOT / "docs" / "coming-from.md").read_text()
    ours = "\n".join(line.rpartition(" | ")[2] for line in text.splitlines() if line.startswith("|"))
    calls = re.findall(r"(?<![\w.])([a-z]+)\.([a-z_]+)\(", ours)
    assert len(calls) > 15
    assert [(who, what) for who, what in calls if who in OWNERS and not hasattr(OWNERS[who], what)] == []
    functions = re.findall(r"(?<![\w.])((?:attach|list|open|create|read)_[a-z_]+)\(", ours)
    assert len(functions) > 15
    assert [name for name in functions if not hasattr(pybpfload, name)] == []
