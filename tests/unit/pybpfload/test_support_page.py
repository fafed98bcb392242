"""docs/support.md is what its tool makes of what was seen, and every type has a test that uses it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pybpfload.features import FEATURES
from tests.support.sources import ROOT
from tools import gen_support


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """The features that kernel tests say they use."""
    log = tmp_path_factory.mktemp("support") / "log"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "--quiet", "tests/kernel"]
    done = subprocess.run([*command, f"--support-log={log}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return {row["feature"] for row in map(json.loads, log.read_text().splitlines()) if "feature" in row}


def test_every_type_has_a_test_that_uses_it(used):
    """Of maps, programs and links; but for those with a reason."""
    types = {name for name in FEATURES if name.partition(":")[0] in gen_support.GROUPS and not name.endswith("session")}
    assert types - used == set(gen_support.EXCEPTIONS)


def test_support_page_is_fresh(used):
    """Nothing edited by hand, and no test was added or removed since: run make kernel-test, tools/gen_support.py."""
    kernels = json.loads(gen_support.DATA.read_text())
    assert gen_support.PAGE.read_text() == gen_support.page(kernels)
    assert {name: set(kernel["features"]) for name, kernel in kernels.items()} == dict.fromkeys(
        gen_support.KERNELS, used
    )
