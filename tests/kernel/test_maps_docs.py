"""docs/maps.md is right: its examples run, and its table is the library's."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pybpfload.features import find
from pybpfload.maps.table import TABLE
from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "maps.md").read_text()


@pytest.mark.kernel
@pytest.mark.slow
def test_examples_run_as_they_stand():
    """All blocks, one after the other, in a process of its own; nothing is left open at its end."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_table_names_class_and_version_of_every_type():
    """In the order of the kernel's enum; and each test that it speaks of is there."""
    rows = re.findall(
        r"^\| ([A-Z_]+) \| `(\w+)` \| ([\d.]+) \| \[([\w ]+)\]\(\.\./tests/kernel/(\w+\.py)\) \|$", PAGE, re.MULTILINE
    )
    shown = [(name, cls, since) for name, cls, since, _, _ in rows]
    assert shown == [(k.name, row.cls.__name__, find(f"map:{k.name.lower()}").since) for k, row in TABLE.items()]
    for _, _, _, test, file in rows:
        name = "test_" + test.replace(" ", "_")
        assert f"def {name}(" in (ROOT / "tests" / "kernel" / file).read_text(), name
