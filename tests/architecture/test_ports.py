"""Ports that tests give to servers."""

from __future__ import annotations

import subprocess
import sys

from tests.support.sources import ROOT

COUNT = 101
CODE = f"from tests.support.ports import free_port\nfor _ in range({COUNT}): print(free_port())"


def test_free_port_is_given_once_also_to_test_runs_at_the_same_time():
    """CI runs the tests on two versions of Python at once."""
    runs = [subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    given = [port for run in runs for port in run.communicate()[0].split()]
    assert [run.returncode for run in runs] == [0, 0]
    assert len(set(given)) == 2 * COUNT
