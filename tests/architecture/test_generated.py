"""What is made from the code and committed is what the code makes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.gates import require_tool
from tests.support.sources import ROOT


@pytest.mark.parametrize("tool", ["tools/gen_cli.py", "tools/gen_events.py"])
def test_generated_files_are_fresh(tool):
    """Run the tool, and commit what it writes."""
    done = subprocess.run([sys.executable, ROOT / tool, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_man_page_has_no_error():
    """Read by the reader of man pages."""
    man = require_tool("man")
    page = ROOT / "share" / "man" / "man1" / "crypto-tracer.1"
    done = subprocess.run([man, "--warnings", "-l", page], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in done.stdout
