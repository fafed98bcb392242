"""tools/release.py: the list of parts, and digests that are signed."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess

import pytest

from tests.support.gates import require_tool
from tests.support.sources import ROOT

spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
assert spec
assert spec.loader
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

MADE = {
    "metadata": {"component": {"bom-ref": "root", "name": "pybpfload", "type": "application"}},
    "components": [{"bom-ref": "b", "name": "rich"}, {"bom-ref": "a", "name": "pyelftools"}],
    "dependencies": [{"ref": "a"}, {"ref": "b"}, {"ref": "root"}],
}


def test_parts_have_version_dependencies_and_licences():
    """What makes them knows nothing of a version that is dynamic."""
    found = json.loads(release.complete_parts(json.dumps(MADE), "1.2.3"))
    assert found["metadata"]["component"]["version"] == "1.2.3"
    assert {"ref": "root", "dependsOn": ["a", "b"]} in found["dependencies"]
    assert sorted(each["ref"] for each in found["dependencies"]) == ["a", "b", "root"]
    assert all(each["licenses"] for each in found["components"])


def test_part_without_known_licence_is_refused():
    """Somebody has to look it up."""
    other = {**MADE, "components": [{"bom-ref": "c", "name": "other"}]}
    with pytest.raises(release.ReleaseError, match="other"):
        release.complete_parts(json.dumps(other), "1")


def test_each_part_of_the_single_file_has_a_licence():
    """As requirements-zipapp.txt has them."""
    names = re.findall(r"^([\w-]+)==", (ROOT / "requirements-zipapp.txt").read_text(), re.MULTILINE)
    assert set(names) == set(release.PART_LICENCES)


def test_signature_and_digests_fail_when_a_byte_changes(tmp_path):
    """By the very lines of docs/deploy.md."""
    require_tool("openssl")
    text = (ROOT / "docs" / "deploy.md").read_text().partition("## Release")[2]
    make_key, verify, digests = (
        line[2:].partition("   #")[0] for line in text.splitlines() if line.startswith(("$ openssl", "$ sha256sum"))
    )

    def run(command: str) -> int:
        return subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False).returncode

    assert run(make_key) == 0
    part, sums = tmp_path / "part.pyz", tmp_path / "SHA256SUMS"
    part.write_bytes(b"one")
    sums.write_text(release.digests([part]))
    release.sign(tmp_path / "release.key", sums)
    assert (run(verify), run(digests)) == (0, 0)
    part.write_bytes(b"onf")
    assert (run(verify), run(digests)) == (0, 1)
    sums.write_text(release.digests([part]))
    assert run(verify) != 0
