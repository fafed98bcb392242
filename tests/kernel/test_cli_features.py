"""``python -m pybpfload features``."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys

import pytest

from pybpfload import features
from tests.support.sources import ROOT

pytestmark = pytest.mark.kernel
COMMAND = pytest.importorskip("pybpfload.cli.features").COMMAND


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    parser.add_argument("--json", action="store_true")
    out = io.StringIO()
    return COMMAND.run(parser.parse_args(arguments), out), out.getvalue()


@pytest.mark.slow
def test_features_with_every_row_and_helper():
    """With what the table says of each; and what this process may do."""
    code, text = run("--json")
    found = json.loads(text)
    assert code == 0
    assert found["kernel"] == os.uname().release
    assert list(found["features"]) == list(features.FEATURES)
    assert {name: row["supported"] for name, row in found["features"].items()} == {
        name: features.has(name) for name in features.FEATURES
    }
    assert found["features"]["map:ringbuf"]["since"] == "5.8"
    assert "map_lookup_elem" in found["helpers"]["socket_filter"]
    assert "socket_filter: " in run("--helpers")[1]
    assert "override_return" not in found["helpers"]["xdp"]
    assert found["privileges"]["uid"] == os.geteuid()


def test_features_text_counts_each_group():
    """A heading with how many there are, and a row for each."""
    code, text = run()
    assert code == 0
    known = [name for name in features.FEATURES if name.startswith("map:")]
    have = sum(features.has(name) for name in known)
    assert f"\nmap types: {have} of {len(known)}\n" in text
    assert "helpers:" not in text


def test_features_of_names_tells_by_the_exit_code():
    """For scripts: 0 when the kernel has all of them."""
    assert run("map:hash", "btf")[0] == 0
    lacking = next(name for name in features.FEATURES if not features.has(name))
    code, text = run("map:hash", lacking)
    assert code == 1
    assert "no" in text.split(lacking.rpartition(":")[2])[1].split()[0]
    assert run("no_such_feature")[0] == 2


def test_features_without_privilege_says_what_is_missing():
    """As nobody: everything is a no, and a hint says why."""
    code = (
        "import os, sys, argparse; from pybpfload.cli.features import COMMAND; p = argparse.ArgumentParser(); "
        "COMMAND.configure(p); p.add_argument('--json', action='store_true'); "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(COMMAND.run(p.parse_args(), sys.stdout))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "nothing can be told" in done.stderr
    assert "hint: this process (uid 65534) has no CAP_BPF" in done.stderr
