# SPDX-License-Identifier: MIT
"""Collect a Python and the shared libraries that it needs into a directory: the root of an image without a shell.

It takes what runs this script: the interpreter, the modules of the standard library, and what the dynamic linker
says that these load. Bytecode is compiled anew, with the hash of its source instead of a time, so that the same
Python always gives the same files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Parts of the standard library that a tracer has no use for, and what drags in large libraries.
LEFT_OUT = {
    "__pycache__",
    "config-*",
    "curses",
    "dbm",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "sqlite3",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "_pyrepl",
    "_crypt.*",
    "_curses*",
    "_dbm.*",
    "_gdbm.*",
    "_hashlib.*",
    "_ssl.*",
    "_sqlite3.*",
    "_tkinter.*",
    "_test*",
    "nis.*",
    "ossaudiodev.*",
    "readline.*",
    "xxlimited*",
}
ACCOUNTS = "root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/:/nonexistent\n"
GROUPS = "root:x:0:\nnonroot:x:65532:\n"


def main() -> int:
    """Collect into the directory that is named."""
    if len(sys.argv) != 2:
        print("usage: image_root.py DIRECTORY", file=sys.stderr)
        return 2
    root = Path(sys.argv[1])
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, root / library.relative_to("/"), ignore=shutil.ignore_patterns(*LEFT_OUT))
    add(root, interpreter)
    link = root / "usr/local/bin/python3"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(interpreter)
    loaded = [interpreter, *(root / library.relative_to("/")).rglob("*.so")]
    for path in sorted({needed for each in loaded for needed in shared_libraries(each)}):
        add(root, path)
    # On systems with one /usr these are links, and the dynamic linker is asked for by such a name.
    for name in ("lib", "lib64", "bin", "sbin"):
        if Path("/", name).is_symlink() and not (root / name).exists():
            (root / name).symlink_to(Path("/", name).readlink())
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(ACCOUNTS)
    (etc / "group").write_text(GROUPS)
    if Path("/etc/ld.so.cache").exists():
        shutil.copyfile("/etc/ld.so.cache", etc / "ld.so.cache")
    for name in ("tmp", "proc", "sys", "dev"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    command = [sys.executable, "-m", "compileall", "-q", "-j1", "--invalidation-mode", "unchecked-hash"]
    folder = root / library.relative_to("/")
    environment = {"PATH": os.defpath, "PYTHONHASHSEED": "0"}
    return subprocess.run([*command, "-s", str(root), "-p", "/", str(folder)], env=environment, check=False).returncode


def shared_libraries(path: Path) -> list[Path]:
    """What the dynamic linker loads for a file, by the names it uses."""
    said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    return [Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+)", said, re.MULTILINE)]


def add(root: Path, path: Path) -> None:
    """Copy a file to where it lies, and the links that lead there as links."""
    while path.is_symlink():
        place = root / path.parent.resolve().relative_to("/") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(path.readlink())
        path = path.parent / path.readlink()
    place = root / path.resolve().relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copy2(path, place)


if __name__ == "__main__":
    sys.exit(main())
