"""Built artefacts, for the tests that look into them or run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.sources import ROOT, tracked_files


def build_zipapp(output: Path, *, root: Path = ROOT) -> Path:
    """Build the single file with bytecode for this interpreter; `root` is the checkout to build from."""
    run([sys.executable, str(root / "tools" / "build_zipapp.py"), "--output", str(output)])
    return output


def build_wheel(folder: Path) -> Path:
    """Build the wheel, with the build backend that is installed, from a copy without what git ignores."""
    copy = copy_tree(folder / "tree")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_tree(target: Path) -> Path:
    """A copy of the files that git tracks or would add, with new file times."""
    for path in tracked_files():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return target


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed; what it said is in the failure."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert result.returncode == 0, f"{command}: exit status {result.returncode}\n{result.stdout}{result.stderr}"
    return result
