"""The wheel: both packages with the objects beside the code, and a command that works once installed."""

from __future__ import annotations

import os
import sys
import zipfile

import pytest

from tests.support.builds import build_wheel, run
from tests.support.sources import PACKAGES, ROOT, tracked_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_both_packages_and_the_objects(wheel):
    """Every module, the typing marks, and each committed object under tracer/_objects."""
    expected = {
        path.relative_to(ROOT).as_posix() for path in tracked_files() if path.relative_to(ROOT).parts[0] in PACKAGES
    }
    objects = ROOT / "bpf" / "objects"
    expected |= {f"tracer/_objects/{path.relative_to(objects).as_posix()}" for path in objects.rglob("*.bpf.o")}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert expected - names == set()
    strangers = {name for name in names - expected if ".dist-info/" not in name}
    assert strangers <= {"tracer/_objects/MANIFEST"}


def test_wheel_metadata_names_licences_dependencies_and_python(wheel):
    """What an installer and a licence scanner read."""
    archive = zipfile.ZipFile(wheel)
    (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License-Expression: MIT\n" in metadata
    assert "Requires-Python: >=3.9\n" in metadata
    assert "Requires-Dist: pyelftools>=0.30\n" in metadata
    assert f"{folder}/licenses/LICENSES/GPL-2.0-only.txt" in archive.namelist()


def test_wheel_command_ends_with_the_status_of_main(wheel, tmp_path):
    """The console script is `tracer.cli:main`; what that returns is the exit status: 2 for a usage error."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        (scripts,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert "crypto-tracer = tracer.cli:main" in archive.read(scripts).decode()
    script = "import sys; from tracer.cli import main; sys.argv[0] = 'crypto-tracer'; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", script]
    assert "crypto-tracer" in run([*command, "--version"], env=environment, cwd=tmp_path).stdout
    with pytest.raises(AssertionError, match="exit status 2"):
        run([*command, "monitor", "--pid", "minus-one"], env=environment, cwd=tmp_path)
