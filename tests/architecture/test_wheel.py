"""The wheel: both packages with the objects beside the code, and a command that works once installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import gates
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
    shared = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert shared == {
        "share/man/man1/crypto-tracer.1",
        "share/bash-completion/completions/crypto-tracer",
        "share/zsh/site-functions/_crypto-tracer",
        "share/fish/vendor_completions.d/crypto-tracer.fish",
    }
    strangers = {name for name in names - expected if ".dist-info/" not in name and ".data/data/" not in name}
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


def interpreters():
    """One of each supported version, of those that this machine has."""
    found = {}
    for path in (
        *Path.home().glob(".pyenv/versions/3.*/bin/python3"),
        *Path("/usr/bin").glob("python3.*[0-9]"),
    ):
        version = re.search(r"3\.(\d+)", str(path))
        if version and 9 <= int(version[1]) <= 13:
            found.setdefault(int(version[1]), path)
    return [str(path) for _, path in sorted(found.items())]


@pytest.mark.parametrize("python", interpreters())
def test_wheel_installs_and_runs_in_a_clean_environment(wheel, python, tmp_path):
    """As pipx and uv do it, with each Python: the command, the documents beside it, and a look at this host."""
    run([python, "-m", "venv", "--without-pip", str(tmp_path / "clean")])
    binaries = tmp_path / "clean" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install", "--quiet"]
    run([*pip, str(wheel)], cwd=tmp_path)
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    program = str(binaries / "crypto-tracer")
    assert run([program, "--version"], env=environment, cwd=tmp_path).stdout.startswith("crypto-tracer ")
    assert (tmp_path / "clean/share/man/man1/crypto-tracer.1").exists()
    looked = run([program, "snapshot", "-p", str(os.getpid()), "-f", "json-stream"], env=environment, cwd=tmp_path)
    assert json.loads(looked.stdout)["summary"]["processes_hidden"] == 0
    if gates.why_no_kernel_tests() is None:
        found = subprocess.run(
            [program, "doctor", "-f", "json-stream"], env=environment, capture_output=True, check=False
        )
        assert {probe["reason"] for probe in json.loads(found.stdout)["probes"]} == {None}
