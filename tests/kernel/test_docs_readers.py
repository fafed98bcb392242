"""The examples of docs/readers.md work as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.needs import need
from tests.support.sources import ROOT

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "readers.md").read_text(), re.MULTILINE | re.DOTALL)
OUTPUTS = (
    r"(\d \d+ b'hello'\n){3}ReaderStats\(received=3, discarded=0, undecodable=0, lost=0, pending=0\)\n",
    r"PerfReader \[event\(number=0, cpu=\d+, pad=0, text=b'hello'\)\]\n",
    r"from the event loop: b'hello'\n",
    r"\[\{'number': 0, 'cpu': \d+, 'pad': 0, 'text': 'hello'\}\]\n\[96\]\n",
    r"2 samples drained, 0 bytes left\n",
)


def test_examples_are_all_known():
    """A new example gets a line in OUTPUTS."""
    assert len(EXAMPLES) == len(OUTPUTS)


@pytest.mark.parametrize(("example", "output"), list(zip(EXAMPLES, OUTPUTS)), ids=range(len(OUTPUTS)))
def test_example_prints_what_it_should(example, output):
    """Word for word, in a process of its own."""
    if "user_ring" in example:
        need("user_ringbuf")
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=ROOT, stdout=-1, text=True, check=False)
    assert done.returncode == 0
    assert re.fullmatch(output, done.stdout)
