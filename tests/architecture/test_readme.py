"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from tests.support.sources import ROOT, tracked_files

README = (ROOT / "README.md").read_text()
DEADLINE_S = 30.0


@pytest.mark.kernel
def test_readme_library_example_prints_a_started_program(tmp_path):
    """The example, word for word, in a process of its own; it reports a program that the test starts meanwhile."""
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    program = [sys.executable, "-I", "-S", "-c", "pass # readme"]
    started = set()
    deadline = time.monotonic() + DEADLINE_S
    with (tmp_path / "output").open("w+") as output:
        # It has no line to say that it is attached, so programs are started as long as it runs.
        with subprocess.Popen([sys.executable, "-c", example], cwd=ROOT, stdout=output) as reader:
            while reader.poll() is None and time.monotonic() < deadline:
                with subprocess.Popen(program) as process:
                    started.add(process.pid)
            reader.kill()
        assert reader.returncode == 0
        output.seek(0)
        seen = {int(line.split()[0]) for line in output if "pass # readme" in line}
    assert seen & started


@pytest.mark.parametrize(
    "path", [path for path in tracked_files() if path.suffix == ".md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_document_links_lead_somewhere(path):
    """Every relative link of a document, pictures too, names a file of the repository."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_readme_names_make_targets_that_exist():
    """The commands at the top, and all others that begin with make."""
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make ([a-z]+)|\$ make ([a-z]+)", README))
    targets = {first or second for first, second in named}
    assert targets >= {"run", "test", "bench", "zipapp"}
    assert [target for target in targets if not re.search(rf"^{target}:.*## ", makefile, re.MULTILINE)] == []
