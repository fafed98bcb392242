# SPDX-License-Identifier: MIT
"""Build `dist/crypto-tracer.pyz`: the whole program in one file that any Python from 3.9 on runs.

The archive holds our two packages, the BPF objects, pyelftools and rich as source, and beside the source the
bytecode for chosen interpreters: one entry `_bc/<cache tag>` each, from which `zipapp_main.py` imports. Python
writes no bytecode cache for what it imports from a zip, so without this part it would compile pyelftools and rich
again at every start (150 to 300 ms).

The same tree and the same interpreters give the same bytes:

- entries are sorted, with one fixed date and mode, and nothing else of the file system gets in;
- bytecode is compiled in a clean process with a fixed hash seed, each file named by its path in the archive.

Why not the standard `zipapp` module, and why bytecode: docs/decisions/.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import marshal
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "dist" / "crypto-tracer.pyz"
SHEBANG = b"#!/usr/bin/env -S python3 -I\n"
OLDEST_PYTHON = (3, 9)
OWN_PACKAGES = ("pybpfload", "tracer")
# The library's own commands: the program has none of them.
OWN_LEFT_OUT = ("pybpfload/cli/", "pybpfload/__main__.py")
# Name in the archive and in the checkout. pyelftools contains construct, and its wheel leaves construct's licence out.
LICENCES = {
    "LICENSE": "LICENSE",
    "LICENSES/MIT.txt": "LICENSES/MIT.txt",
    "LICENSES/GPL-2.0-only.txt": "LICENSES/GPL-2.0-only.txt",
    "licenses/construct/LICENSE": "LICENSES/third-party/construct.txt",
}
OBJECTS = "bpf/objects"
OBJECTS_IN_ARCHIVE = "tracer/_objects"

# The date of every entry: the first that a zip file can hold.
DATE = (1980, 1, 1, 0, 0, 0)
MODE = 0o100644 << 16
UNIX = 3


@dataclass(frozen=True)
class Vendored:
    """A distribution that goes into the archive, less the modules and folders that nothing of ours can reach."""

    distribution: str
    package: str
    leave_out: tuple[str, ...] = ()


VENDORED = (
    # Of pyelftools, the header of a file is all that is used; the rest is about debug information.
    Vendored(
        "pyelftools",
        "elftools",
        (
            "dwarf/",
            "ehabi/",
            "elf/descriptions.py",
            "elf/dynamic.py",
            "elf/elffile.py",
            "elf/gnuversions.py",
            "elf/hash.py",
            "elf/notes.py",
            "elf/relocation.py",
            "elf/sections.py",
            "elf/segments.py",
        ),
    ),
    # What needs Pygments or markdown-it (neither is carried along), what runs on Windows only, and demos.
    Vendored(
        "rich",
        "rich",
        (
            "__main__.py",
            "_win32_console.py",
            "_windows.py",
            "_windows_renderer.py",
            "diagnose.py",
            "logging.py",
            "markdown.py",
            "syntax.py",
            "traceback.py",
        ),
    ),
)

# What Python runs; the build fills in where the bytecode lies.
MAIN = ROOT / "tools" / "zipapp_main.py"
NOT_FILLED = "BYTECODE = {}"

# Runs in the interpreter that the bytecode is for. Prints which one that is.
COMPILER = """
import ast, json, marshal, sys
from _frozen_importlib_external import MAGIC_NUMBER
def bare(tree):
    # Nobody asks for docstrings. A dataclass does: it makes one, at length.
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or getattr(node, "decorator_list", None) and isinstance(node, ast.ClassDef):
            continue
        if body and isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str):
            body[:1] = [] if len(body) > 1 else [ast.copy_location(ast.Pass(), body[0])]
    return tree
source, target = sys.argv[1:]
for name in json.load(sys.stdin):
    with open(source + "/" + name, "rb") as file:
        code = compile(bare(ast.parse(file.read(), name)), name, "exec", dont_inherit=True, optimize=0)
    with open(target + "/" + name.replace("/", "!"), "wb") as file:
        file.write(marshal.dumps(code))
print(json.dumps([sys.implementation.cache_tag, MAGIC_NUMBER.hex(), list(sys.version_info[:2])]))
"""


class Table(NamedTuple):
    """The bytecode for one interpreter.

    Attributes:
        magic: which bytecode it is.
        places: a marshalled table: name of a module, to its file, whether it is a package, offset and size.
        modules: each marshalled and deflated.
    """

    magic: bytes
    places: bytes
    modules: bytes


class BuildError(Exception):
    """The archive cannot be built; the text says why."""


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PATH",
        help="carry bytecode for this interpreter too; may be given several times",
    )
    options = parser.parse_args()
    try:
        size = build(options.output, pythons=(sys.executable, *options.python))
    except BuildError as error:
        print(f"build_zipapp: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {size} bytes")
    return 0


def build(output: Path, *, pythons: tuple[str, ...] = (sys.executable,), root: Path = ROOT) -> int:
    """Write the archive and return its size in bytes.

    Args:
        output: replaced in one step when everything has gone well.
        pythons: interpreters to carry bytecode for.
        root: the checkout to build from.

    Raises:
        BuildError: something that belongs into the archive is missing or does not fit.
    """
    sources = own_sources(root)
    entries = own_data(root)
    for vendored in VENDORED:
        package, licences = vendored_files(vendored)
        sources.update(package)
        entries.update(licences)
    tables: dict[str, Table] = {}
    for python in pythons:
        tag, table = compile_all(python, sources)
        tables.setdefault(tag, table)
    entries.update(sources)
    return write_archive(output, entries, dict(sorted(tables.items())))


def own_sources(root: Path) -> dict[str, bytes]:
    """Archive name and text of each module of our packages."""
    sources: dict[str, bytes] = {}
    for package in OWN_PACKAGES:
        if not (root / package / "__init__.py").exists():
            raise BuildError(f"{root / package}: no such package")
        found = python_files(root, package)
        sources.update((name, text) for name, text in found.items() if not name.startswith(OWN_LEFT_OUT))
    return sources


def python_files(base: Path, package: str) -> dict[str, bytes]:
    """Archive name and text of each module under `base/package`, editors' hidden files left out."""
    return {
        path.relative_to(base).as_posix(): path.read_bytes()
        for path in (base / package).rglob("*.py")
        if not path.name.startswith(".")
    }


def own_data(root: Path) -> dict[str, bytes]:
    """The BPF objects of every architecture, and our licence texts."""
    objects = root / OBJECTS
    entries = {
        f"{OBJECTS_IN_ARCHIVE}/{path.relative_to(objects).as_posix()}": path.read_bytes()
        for path in objects.rglob("*.bpf.o")
    }
    if not entries:
        raise BuildError(f"{objects}: no *.bpf.o below; `make objects` builds them")
    entries.update((name, (root / path).read_bytes()) for name, path in LICENCES.items())
    return entries


def vendored_files(vendored: Vendored) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Modules and licence texts of an installed distribution."""
    try:
        distribution = importlib.metadata.distribution(vendored.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(
            f"{vendored.distribution} is not installed for {sys.executable}; requirements-zipapp.txt pins it"
        ) from None
    check_oldest_python(vendored.distribution, distribution.version, distribution.metadata.get("Requires-Python"))
    base = Path(str(distribution.locate_file("")))
    left_out = tuple(f"{vendored.package}/{name}" for name in vendored.leave_out)
    found = python_files(base, vendored.package)
    sources = {name: text for name, text in found.items() if not name.startswith(left_out)}
    folder = f"licenses/{vendored.distribution}-{distribution.version}"
    licences = {
        f"{folder}/{file.name}": file.read_binary()
        for file in distribution.files or ()
        if re.match(r"[^/]+\.dist-info/(.*/)?(LICEN[CS]E|COPYING|NOTICE)[^/]*$", str(file))
    }
    if not licences:
        raise BuildError(f"{vendored.distribution} {distribution.version}: carries no licence text")
    return sources, licences


def check_oldest_python(name: str, version: str, requires_python: str | None) -> None:
    """Refuse a release that does not run on the oldest Python the archive promises to run on."""
    wanted = re.search(r">=?\s*3\.(\d+)", requires_python or "")
    if wanted and int(wanted[1]) > OLDEST_PYTHON[1]:
        raise BuildError(
            f"{name} {version} needs Python 3.{wanted[1]}, the archive promises 3.{OLDEST_PYTHON[1]}: "
            "install what requirements-zipapp.txt pins"
        )


def compile_all(python: str, sources: dict[str, bytes]) -> tuple[str, Table]:
    """Cache tag of an interpreter, and its bytecode."""
    names = sorted(sources)
    with tempfile.TemporaryDirectory() as work:
        source, target, nowhere = (Path(work, name) for name in ("source", "target", "nowhere"))
        nowhere.mkdir()
        target.mkdir()
        for name in names:
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sources[name])
        # -I would ignore the hash seed, on which the order of marshalled sets depends; so: an environment
        # with nothing else in it, no site packages, and an empty current directory.
        result = subprocess.run(
            [python, "-s", "-S", "-W", "ignore", "-c", COMPILER, str(source), str(target)],
            input=json.dumps(names),
            env={"PYTHONHASHSEED": "0", "PATH": os.defpath},
            cwd=nowhere,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise BuildError(f"{python}: cannot compile: {result.stderr.strip()}")
        tag, magic, version = json.loads(result.stdout)
        if tuple(version) < OLDEST_PYTHON:
            raise BuildError(f"{python}: is Python {version[0]}.{version[1]}, the oldest supported is 3.9")
        index: dict[str, tuple[str, bool, int, int]] = {}
        modules = bytearray()
        for name in names:
            code = zlib.compress((target / name.replace("/", "!")).read_bytes(), 9)
            module = name[:-3].replace("/", ".")
            index[module.removesuffix(".__init__")] = (name, module.endswith(".__init__"), len(modules), len(code))
            modules += code
    return tag, Table(bytes.fromhex(magic), marshal.dumps(index, 2), bytes(modules))


def write_archive(output: Path, entries: dict[str, bytes], tables: dict[str, Table]) -> int:
    """Write an executable zip file with these entries, bytecode first, and return its size."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.{os.getpid()}")
    places: dict[str, tuple[bytes, int, int]] = {}
    try:
        with part.open("wb") as stream:
            stream.write(SHEBANG)
            with zipfile.ZipFile(stream, "w") as archive:
                for tag, (magic, index, modules) in tables.items():
                    write_entry(archive, f"_bc/{tag}", index + modules, zipfile.ZIP_STORED)
                    places[tag] = (magic, stream.tell() - len(index) - len(modules), len(index))
                main = MAIN.read_text()
                if NOT_FILLED not in main:
                    raise BuildError(f"{MAIN}: has no line `{NOT_FILLED}`")
                filled = {"__main__.py": main.replace(NOT_FILLED, f"BYTECODE = {places!r}").encode(), **entries}
                for name in sorted(filled):
                    write_entry(archive, name, filled[name], zipfile.ZIP_DEFLATED)
        part.chmod(0o755)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return output.stat().st_size


def write_entry(archive: zipfile.ZipFile, name: str, data: bytes, method: int) -> None:
    """Write an entry with one fixed date and mode."""
    info = zipfile.ZipInfo(name, DATE)
    info.create_system = UNIX
    info.external_attr = MODE
    archive.writestr(info, data, method, 9)


if __name__ == "__main__":
    sys.exit(main())
