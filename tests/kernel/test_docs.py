"""The pages of docs/ are right: their code runs as it stands there, and prints what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from pybpfload import links
from pybpfload.features import find
from pybpfload.links.attach import ATTACH, EXPLICIT
from pybpfload.links.kinds import KINDS
from pybpfload.maps.table import TABLE
from tests.support.gates import require_tool
from tests.support.pages import blocks, fits
from tests.support.sandbox import mount_bpffs
from tests.support.sources import ROOT

DOCS = ROOT / "docs"
# Pages whose commands run too, in an empty directory.
WITH_SHELL = ("tutorial.md",)
PAGES = sorted(path.name for path in DOCS.glob("*.md") if any(b.language == "python" for b in blocks(path.read_text())))


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs_as_it_stands(page, tmp_path):
    """All blocks, one after the other, in a process of its own; nothing is left open at its end."""
    mount_bpffs()
    shell = page in WITH_SHELL
    if shell:
        require_tool("clang-19")
    command = [sys.executable, "-W", "error", "-m", "tests.support.pages", str(DOCS / page), *["--shell"] * shell]
    folder = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": folder, "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=tmp_path if shell else ROOT, env=environment, stderr=-1, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_pages_with_code_are_found():
    """The test above looks at something."""
    assert {"maps.md", "programs.md", "readers.md", "links.md", "tutorial.md"} <= set(PAGES)


def test_outputs_are_compared():
    """Dots stand for anything, long numbers for any number; the rest is taken at its word."""
    assert fits("pid 4711\n... end\n", "pid 12\nanything\nat the end\n")
    assert not fits("count 11\n", "count 12\n")
    assert not fits("pid 4711\n", "pid x\n")


def test_table_of_maps_names_class_and_version_of_every_type():
    """In the order of the kernel's enum; and each test that it speaks of is there."""
    rows = re.findall(
        r"^\| ([A-Z_]+) \| `(\w+)` \| ([\d.]+) \| \[([\w ]+)\]\(\.\./tests/kernel/(\w+\.py)\) \|$",
        (DOCS / "maps.md").read_text(),
        re.MULTILINE,
    )
    shown = [(name, cls, since) for name, cls, since, _, _ in rows]
    assert shown == [(k.name, row.cls.__name__, find(f"map:{k.name.lower()}").since) for k, row in TABLE.items()]
    for _, _, _, test, file in rows:
        name = "test_" + test.replace(" ", "_")
        assert f"def {name}(" in (ROOT / "tests" / "kernel" / file).read_text(), name


def link_rows() -> dict[str, list[list[str]]]:
    """The table of docs/links.md: function to its rows, each a list of cells."""
    found: dict[str, list[list[str]]] = {}
    name = ""
    for line in (DOCS / "links.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 8 and (cells[0].startswith("`") or (name and not cells[0])):
            name = cells[0].strip("`") or name
            found.setdefault(name, []).append(cells[1:])
    return found


def test_table_of_links_has_a_row_for_each_attach_function():
    """All that links exports, and nothing else."""
    functions = {name for name in links.__all__ if name.startswith("attach_") and name != "attach_type_for"}
    assert set(link_rows()) == functions


def test_table_of_links_knows_every_way_and_every_section():
    """Each kind of the code's table is a step of a ladder; each SEC() name that can be attached is in a row."""
    rows = [cells for several in link_rows().values() for cells in several]
    steps = {step for cells in rows for step in re.findall(r"`(\w+)`", cells[2])}
    assert steps == set(KINDS)
    sections = {name for cells in rows for name in re.findall(r"`([\w./]+)`", cells[1])}
    aliases = {
        "raw_tracepoint",
        "raw_tracepoint.w",
        "classifier",
        "tc",
        "xdp.frags",
        "fsession",
        "syscall",
        "struct_ops",
    }
    heads = {name.removesuffix("/...") for name in sections}
    assert {*ATTACH, *EXPLICIT} - heads <= aliases
    assert heads - {*ATTACH, *EXPLICIT} <= {".struct_ops", ".struct_ops.link"}


@pytest.mark.parametrize("name", sorted(link_rows()))
def test_table_of_links_says_since_when_as_the_function_does(name):
    """The first version is in its docstring, which has the commit too."""
    for cells in link_rows()[name]:
        assert cells[3].split(",")[0].split()[0] in getattr(links, name).__doc__
