"""The committed BPF objects are what their sources make, everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT

TOOL = "tools/build_objects.py"
# All that takes part in making the objects, and the objects.
PARTS = ("bpf", "tests/data", "examples", TOOL)


def build_objects(option: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs the tool of a checkout."""
    command = [sys.executable, str(root / TOOL), option]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources and objects, at another place."""
    for part in PARTS:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part)
        else:
            shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


@pytest.fixture
def compiler() -> None:
    """The compiler the objects are made with; a continuous-integration host must have it."""
    if not shutil.which("clang-19") or not shutil.which("llvm-strip-19"):
        reason = "clang-19 and llvm-strip-19 are not installed, so the objects cannot be rebuilt"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, but {reason}")
        pytest.skip(reason)


def test_objects_as_committed_match_the_manifest() -> None:
    """No source, header or object changed since the objects were made."""
    done = build_objects("--verify")
    assert done.returncode == 0, done.stderr


def test_objects_exist_for_each_probe_and_architecture() -> None:
    """A probe that works on one architecture only would fail the users of the other."""
    probes = {source.name for source in (ROOT / "bpf").glob("*.bpf.c")}
    assert "file_open_trace.bpf.c" in probes
    for arch in ("x86_64", "arm64"):
        objects = {path.name for path in (ROOT / "bpf/objects" / arch).iterdir()}
        assert objects == {f"{name[:-2]}.o" for name in probes}


@pytest.mark.usefixtures("compiler")
def test_objects_rebuilt_at_another_place_are_equal(checkout: Path) -> None:
    """Compiling gives the committed bytes, and the path of the checkout is not among them."""
    done = build_objects("--check", checkout)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("bpf/process_exec_trace.bpf.c", {"process_exec_trace"}),
        ("bpf/include/filter.bpf.h", {path.name.split(".")[0] for path in (ROOT / "bpf").glob("*.bpf.c")}),
        ("bpf/objects/arm64/process_exit_trace.bpf.o", {"process_exit_trace"}),
    ],
)
def test_verify_after_a_change_names_what_is_stale(checkout: Path, changed: str, named: set[str]) -> None:
    """One byte more in a source, a header or an object is found, without a compiler."""
    with (checkout / changed).open("a") as file:
        file.write("\n")
    done = build_objects("--verify", checkout)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if " bpf/objects/" in line]
    assert {Path(line.split()[1]).name.split(".")[0] for line in lines} == named


def test_verify_with_an_object_too_few_or_too_many_fails(checkout: Path) -> None:
    """An object that was never made, and one whose source is gone, are both found."""
    folder = checkout / "bpf/objects/x86_64"
    (folder / "file_open_trace.bpf.o").rename(folder / "gone_trace.bpf.o")
    done = build_objects("--verify", checkout)
    assert done.returncode == 1
    assert "bpf/objects/x86_64/file_open_trace.bpf.o: missing" in done.stderr
    assert "bpf/objects/x86_64/gone_trace.bpf.o: no source makes it" in done.stderr


@pytest.mark.usefixtures("compiler")
def test_check_after_a_change_of_code_names_the_object(checkout: Path) -> None:
    """An object that somebody built otherwise is found even if its MANIFEST was made to agree."""
    name = "bpf/objects/x86_64/process_exit_trace.bpf.o"
    shutil.copy(checkout / "bpf/objects/x86_64/process_exec_trace.bpf.o", checkout / name)
    done = build_objects("--check", checkout)
    assert done.returncode == 1
    assert f"{name}: compiling gives other bytes" in done.stderr
