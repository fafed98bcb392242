"""A kernel test that cannot run skips, or fails where it is required: tried in a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.sources import ROOT

# A test module, and what makes its gate refuse: the reason is the same for every user and kernel.
REFUSED = """
import pytest
from tests.support import gates

gates.why_no_kernel_tests = lambda: "this kernel is made of cheese"

@pytest.mark.kernel
def test_kernel():
    pass

def test_tool():
    gates.require_tool("no-such-program-anywhere")

def test_plain():
    pass
"""


@pytest.mark.parametrize(
    ("variables", "outcome"),
    [
        ({}, "1 passed, 2 skipped"),
        ({"CI": "true"}, "1 failed, 1 passed, 1 error"),
        ({"PYBPFLOAD_KERNEL_TESTS": "1"}, "1 failed, 1 passed, 1 error"),
    ],
    ids=["a user's machine", "CI", "asked for"],
)
def test_kernel_test_that_cannot_run(tmp_path, variables, outcome):
    """Skipping is for machines where nobody asked; the reason shows either way."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_refused.py").write_text(REFUSED)
    environment = {k: v for k, v in os.environ.items() if k not in {"CI", "PYBPFLOAD_KERNEL_TESTS"}}
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "no:cacheprovider", "--quiet", str(tmp_path)]
    result = subprocess.run(
        command, cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert re.search(outcome, result.stdout.splitlines()[-1]), result.stdout + result.stderr
    assert "this kernel is made of cheese" in result.stdout
