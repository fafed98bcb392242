"""Commands of crypto-tracer that write a document and end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.support.sources import ROOT
from tests.support.workloads import DEADLINE_S

PROGRAM = (sys.executable, "-m", "tracer")


def run_tracer(*arguments: str, prefix: Sequence[str] = (), code: int = 0, **options: Any) -> str:
    """Runs it to its end; returns its stdout, which is ASCII. Nothing else than the exit code may come out of it."""
    done = run_any(*arguments, prefix=prefix, **options)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert done.stdout.isascii()
    return done.stdout


def run_any(*arguments: str, prefix: Sequence[str] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, whatever that is."""
    return subprocess.run(
        [*prefix, *PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=2 * DEADLINE_S,
        **options,
    )


def document(text: str) -> dict[str, Any]:
    """One JSON object and nothing else."""
    found = json.loads(text)
    assert isinstance(found, dict)
    return found
