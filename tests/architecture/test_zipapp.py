"""The single file: whole, small, reproducible, and it leaves nothing on the disk."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.builds import build_zipapp, copy_tree, run
from tests.support.sources import ROOT
from tools.build_zipapp import BuildError, Vendored, check_oldest_python, vendored_files

MAX_SIZE = 3_000_000
NOT_NEEDED = ("pygments", "markdown_it", "mdurl")

# Imports every module of the archive, as source or as bytecode, and prints where each came from and by what.
IMPORT_ALL = """
import importlib, sys, zipfile
archive = sys.path[0]
for name in zipfile.ZipFile(archive).namelist():
    if name.endswith(".py") and not name.endswith("__main__.py"):
        module = importlib.import_module(name[:-3].replace("/", ".").removesuffix(".__init__"))
        print(module.__file__, type(module.__spec__.loader).__name__)
"""
FIRST_OBJECT = """
from tracer import objects
sys.stdout.buffer.write(objects.read("file_open_trace", machine="x86_64"))
"""
FAILING = """
from tracer.catalog.libraries import find_library
try:
    find_library(b"bytes")
except TypeError:
    import traceback
    traceback.print_exc(file=sys.stdout)
"""


def in_archive(zipapp: Path, script: str, *, tag: str = "") -> list[str]:
    """A command that does what the archive's `__main__` does, but for the program itself: that is the script.

    Args:
        tag: of another interpreter, which the archive has no bytecode for.
    """
    begin = (
        "import sys, zipimport\n"
        f"archive = {str(zipapp)!r}\n"
        "sys.path.insert(0, archive)\n"
        "loader = zipimport.zipimporter(archive)\n"
        + (f"sys.implementation.cache_tag = {tag!r}\n" if tag else "")
        + "class Spec: loader = loader\n"
        "main = loader.get_source('__main__').partition('from tracer.cli')[0] + 'pass\\nfinally: pass'\n"
        "exec(main, {'__spec__': Spec})\n"
    )
    return [sys.executable, "-I", "-S", "-W", "ignore", "-c", begin + script]


def test_zipapp_is_one_executable_file_of_small_size(zipapp):
    """Mode, first line and size are what `sudo ./crypto-tracer.pyz` and a download need."""
    assert stat.S_IMODE(zipapp.stat().st_mode) == 0o755
    assert zipapp.read_bytes().startswith(b"#!/usr/bin/env -S python3 -I\nPK")
    assert zipapp.stat().st_size <= MAX_SIZE


def test_zipapp_holds_what_is_needed_and_no_more(zipapp):
    """Code and bytecode of four packages, the objects, the licences."""
    names = zipfile.ZipFile(zipapp).namelist()
    tag = sys.implementation.cache_tag
    assert names[1:] == sorted(names[1:])
    assert "tracer/_objects/x86_64/file_open_trace.bpf.o" in names
    assert "tracer/_objects/arm64/file_open_trace.bpf.o" in names
    assert [name for name in names if name.startswith("_bc/")] == [f"_bc/{tag}"]
    assert "LICENSE" in names
    assert "LICENSES/GPL-2.0-only.txt" in names
    assert (
        len([name for name in names if re.match(r"licenses/(construct|(pyelftools|rich)-[0-9.]+)/LICENSE$", name)]) == 3
    )
    assert [name for name in names if any(package in name for package in NOT_NEEDED)] == []


def test_zipapp_from_a_copy_is_byte_identical(zipapp, tmp_path):
    """Neither file times, nor the place, nor the order of a directory shows in the result."""
    copy = copy_tree(tmp_path / "copy")
    again = build_zipapp(tmp_path / "again.pyz", root=copy)
    assert again.read_bytes() == zipapp.read_bytes()


@pytest.mark.parametrize("kind", ["source", "bytecode"])
def test_zipapp_modules_all_import_without_site_packages(zipapp, kind):
    """Nothing that was left out is missed by what was put in."""
    result = run(in_archive(zipapp, IMPORT_ALL, tag="cpython-399" if kind == "source" else ""))
    lines = result.stdout.splitlines()
    assert len(lines) > 100
    loader = "Bytecode" if kind == "bytecode" else "zipimporter"
    assert [line for line in lines if not (line.startswith(f"{zipapp}/") and line.endswith(f".py {loader}"))] == []


def test_zipapp_gives_object_bytes_beside_bytecode(zipapp):
    """The bytecode's loader reads data, too: objects are found, and are the committed ones."""
    result = subprocess.run(in_archive(zipapp, FIRST_OBJECT), stdout=subprocess.PIPE, check=True)
    assert result.stdout == (ROOT / "bpf" / "objects" / "x86_64" / "file_open_trace.bpf.o").read_bytes()


def test_zipapp_tracebacks_quote_the_lines_of_the_archive(zipapp, tmp_path):
    """Not those of a file that has the same name below the current directory."""
    trap = tmp_path / "tracer" / "catalog" / "libraries.py"
    trap.parent.mkdir(parents=True)
    trap.write_text("a lie\n" * 500)
    text = run(in_archive(zipapp, FAILING), cwd=tmp_path).stdout
    assert f'File "{zipapp}/tracer/catalog/libraries.py", line' in text
    assert "a lie" not in text
    assert "DELETED" in text  # of the line that failed


def test_zipapp_runs_by_itself_and_unpacks_nothing(zipapp, tmp_path):
    """Started by its first line, in a directory that is not its own, it writes no file anywhere it could."""
    alone = Path(shutil.copy(zipapp, tmp_path / "tool.pyz"))
    home = tmp_path / "home"
    home.mkdir()
    python = tmp_path / "bin"
    python.mkdir()
    (python / "python3").symlink_to(os.path.realpath(sys.executable))
    environment = {"PATH": f"{python}:{os.defpath}", "HOME": str(home), "TMPDIR": str(home)}
    result = run([str(alone), "--version"], env=environment, cwd=home)
    version = re.search(r'"([0-9.a-z]+)"', (ROOT / "pybpfload" / "_version.py").read_text())
    assert version is not None
    assert version[1] in result.stdout
    assert list(home.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "home", "tool.pyz"]


def test_zipapp_runs_from_source_on_a_python_without_bytecode(zipapp, tmp_path):
    """An interpreter that the archive has no bytecode for is served as well: its tag is not in the table."""
    script = (
        "import runpy, sys\n"
        "sys.implementation.cache_tag = 'cpython-399'\n"
        f"sys.argv = [{str(zipapp)!r}, '--version']\n"
        f"runpy.run_path({str(zipapp)!r}, run_name='__main__')\n"
    )
    assert run([sys.executable, "-I", "-c", script]).stdout.startswith("crypto-tracer")


def test_zipapp_refuses_a_distribution_for_newer_pythons_only():
    """The archive promises 3.9, so what it carries has to keep that."""
    check_oldest_python("rich", "15.0.0", ">=3.9.0")
    check_oldest_python("rich", "15.0.0", None)
    with pytest.raises(BuildError, match=r"pyelftools 0\.33 needs Python 3\.10"):
        check_oldest_python("pyelftools", "0.33", ">=3.10")


def test_zipapp_refuses_a_distribution_that_is_not_installed():
    """The text names it and where the version is pinned."""
    with pytest.raises(BuildError, match=r"no-such-thing is not installed .* requirements-zipapp\.txt"):
        vendored_files(Vendored("no-such-thing", "nothing"))
