"""docs/features.md is what its tool makes of the rows."""

from __future__ import annotations

import re
import subprocess
import sys

from pybpfload.features import FEATURES, find
from tests.support.sources import ROOT


def test_features_page_is_fresh():
    """A row that is added has to be told; run tools/gen_features.py."""
    tool = ROOT / "tools" / "gen_features.py"
    assert subprocess.run([sys.executable, tool, "--check"], check=False).returncode == 0


def test_features_page_names_only_rows():
    """Also in its prose: every name in an example is one."""
    text = (ROOT / "docs" / "features.md").read_text()
    named = set(re.findall(r"(?:has|ask|needs)\(\"([^\"]+)\"", text))
    assert len(named) >= 5
    for name in named:
        find(name)


def test_feature_rows_have_titles_that_read_as_what_a_kernel_has():
    """Lower case or a name, no full stop; and a version, if any, that looks like one."""
    for name, row in FEATURES.items():
        assert row.title, name
        assert not row.title.endswith("."), name
        assert re.fullmatch(r"(\d+\.\d+)?", row.since), name
