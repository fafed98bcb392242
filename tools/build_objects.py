#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compile the BPF objects that the repository carries, or check that they are fresh.

Usage: build_objects.py [--check | --verify]

Without an option every source is compiled and the objects and MANIFESTs are written. This needs
Debian's packages clang-19, llvm-19, libbpf-dev and linux-libc-dev, on a machine of any kind.

An object depends on its sources and on the compiler only, so that anybody can rebuild it bit for
bit. Three things would leak in otherwise, and are shut out:

- the place of the checkout: it is mapped to ".", and DWARF is stripped (BTF stays);
- the machine's architecture: `asm/*.h` is taken from asm-generic, which is what x86-64 and arm64
  both use for all that a BPF program may want, and no other directory of the machine is searched;
- the environment: clang also obeys CPATH and the like, so it gets an empty one.

Each MANIFEST holds, for each object, its own digest and that of what it was made from. Versions of
compiler and headers stand there to explain a difference, not to forbid one.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = "bpf/include"
CLANG = "clang-19"
STRIP = "llvm-strip-19"
HEADER_PACKAGES = ("libbpf-dev", "linux-libc-dev")
INSTALL = f"apt-get install {CLANG} llvm-19 {' '.join(HEADER_PACKAGES)}"

FLAGS = (
    "--target=bpfel -mcpu=v2 -O2 -g -std=gnu11 -Wall -Werror -fms-extensions"
    " -Wno-microsoft-anon-tag -nostdinc -D__BITS_PER_LONG=64"
).split()
# Name of an architecture, as uname(2) has it and as libbpf's headers have it.
TARGET_ARCH = {"x86_64": "x86", "arm64": "arm64"}


@dataclass(frozen=True)
class Group:
    """Sources that are compiled into one place."""

    sources: str
    output: str
    arches: tuple[str, ...]
    by_arch: bool

    def objects(self) -> Iterator[tuple[Path, Path, str]]:
        """Yields source, object (both relative to the root) and architecture."""
        for arch in self.arches:
            for source in sorted((ROOT / self.sources).glob("*.bpf.c")):
                folder = Path(self.output) / arch if self.by_arch else Path(self.output)
                yield source.relative_to(ROOT), folder / f"{source.name[:-2]}.o", arch

    @property
    def manifest(self) -> Path:
        """The file that holds the digests."""
        return ROOT / self.output / "MANIFEST"


GROUPS = (
    Group("bpf", "bpf/objects", ("x86_64", "arm64"), by_arch=True),
    Group("tests/data", "tests/data", ("x86_64",), by_arch=False),
    Group("examples", "examples", ("x86_64",), by_arch=False),
)


def sources_digest(source: Path) -> str:
    """SHA-256 over the flags and over name and content of the source and all headers it can see."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    headers = [*(ROOT / INCLUDE).glob("*.h"), *(ROOT / source.parent).glob("*.h")]
    for path in [ROOT / source, *sorted(headers)]:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.relative_to(ROOT).as_posix()} {content}".encode())
    return digest.hexdigest()


def entry(source: Path, name: Path, content: bytes) -> str:
    """The line of a MANIFEST that describes one object."""
    digest = hashlib.sha256(content).hexdigest()
    return f"object {name.as_posix()} sha256:{digest} from sha256:{sources_digest(source)}"


def run(*command: str, fallback: str | None = None) -> str:
    """Standard output of a command. If it fails: the fallback, or the end where there is none."""
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode and fallback is not None:
        return fallback
    if done.returncode:
        sys.exit(f"build_objects: {command[0]} failed with exit status {done.returncode}")
    return done.stdout


def tool_versions() -> list[str]:
    """The lines of a MANIFEST that name compiler and headers."""
    lines = ["compiler " + run(CLANG, "--version").splitlines()[0]]
    for package in HEADER_PACKAGES:
        version = "unknown"
        if shutil.which("dpkg-query"):
            version = run("dpkg-query", "--show", "--showformat=${Version}", package, fallback=version)
        lines.append(f"headers {package} {version}")
    return lines


def compile_object(source: Path, arch: str, scratch: Path) -> bytes:
    """The object that a source makes for an architecture."""
    target = scratch / "object.o"
    run(
        CLANG,
        *FLAGS,
        f"-D__TARGET_ARCH_{TARGET_ARCH[arch]}",
        f"-ffile-prefix-map={ROOT}=.",
        f"-I{INCLUDE}",
        f"-isystem{scratch}",
        "-isystem/usr/include",
        "-c",
        source.as_posix(),
        f"-o{target}",
    )
    run(STRIP, "-g", str(target))
    return target.read_bytes()


def compile_all(group: Group) -> dict[Path, tuple[Path, bytes]]:
    """Object name -> its source, its content."""
    built: dict[Path, tuple[Path, bytes]] = {}
    with tempfile.TemporaryDirectory(prefix="build-objects-") as folder:
        scratch = Path(folder)
        (scratch / "asm").symlink_to("/usr/include/asm-generic")
        for source, name, arch in group.objects():
            built[name] = source, compile_object(source, arch, scratch)
    return built


def require_compiler() -> None:
    """Exits with a hint where a program is missing."""
    missing = [program for program in (CLANG, STRIP) if not shutil.which(program)]
    if missing:
        sys.exit(f"build_objects: {' and '.join(missing)} not found\nhint: {INSTALL}")


def leftovers(group: Group) -> Iterator[Path]:
    """Objects on disk that no source makes."""
    known = {name for _, name, _ in group.objects()}
    for path in sorted((ROOT / group.output).glob("*/*.bpf.o" if group.by_arch else "*.bpf.o")):
        if path.relative_to(ROOT) not in known:
            yield path


def write(group: Group) -> None:
    """Compiles a group; writes objects and MANIFEST, removes objects without a source."""
    built = compile_all(group)
    lines = ["# written by tools/build_objects.py", *tool_versions()]
    for name, (source, content) in built.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        same = path.exists() and path.read_bytes() == content
        if not same:
            path.write_bytes(content)
        lines.append(entry(source, name, content))
        print(f"{'same   ' if same else 'written'} {name} {len(content)} bytes")
    for path in leftovers(group):
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")
    if built:
        group.manifest.write_text("\n".join(lines) + "\n")
    else:
        group.manifest.unlink(missing_ok=True)


def stale(group: Group) -> Iterator[str]:
    """Says what MANIFEST, sources and objects disagree about; nothing if all is well."""
    listed: dict[str, str] = {}
    if group.manifest.exists():
        for line in group.manifest.read_text().splitlines():
            if line.startswith("object "):
                listed[line.split()[1]] = line
    for source, name, _ in group.objects():
        path = ROOT / name
        line = listed.pop(name.as_posix(), "")
        if not path.exists():
            yield f"{name}: missing; {source} makes it"
        elif not line:
            yield f"{name}: not in {group.manifest.relative_to(ROOT)}"
        else:
            expected = entry(source, name, path.read_bytes()).split()
            if line.split()[2] != expected[2]:
                yield f"{name}: {expected[2]}, but the MANIFEST has {line.split()[2]}"
            if line.split()[3:] != expected[3:]:
                yield f"{name}: {source} or a header changed since it was compiled"
    for unknown in listed:
        yield f"{unknown}: in the MANIFEST, but no source makes it"
    for path in leftovers(group):
        yield f"{path.relative_to(ROOT)}: no source makes it"


def different(group: Group) -> Iterator[str]:
    """Compiles a group and names each object that is not, byte for byte, what is on disk."""
    built = compile_all(group)
    for name, (_, content) in built.items():
        path = ROOT / name
        if path.exists() and path.read_bytes() != content:
            yield f"{name}: compiling gives other bytes"
    if built and group.manifest.exists():
        noted = group.manifest.read_text().splitlines()
        for line in tool_versions():
            if line not in noted:
                print(f"note: {group.manifest.relative_to(ROOT)} differs: here {line}")


def main() -> int:
    """Returns the exit status: 1 if a check found something."""
    parser = argparse.ArgumentParser(description="Compile the BPF objects.")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="compile, write nothing, compare")
    only.add_argument("--verify", action="store_true", help="compare digests; needs no compiler")
    options = parser.parse_args()

    if not options.verify:
        require_compiler()
    problems: list[str] = []
    for group in GROUPS:
        if options.verify or options.check:
            problems += stale(group)
            if options.check:
                problems += different(group)
        else:
            write(group)
    for problem in problems:
        print(f"build_objects: {problem}", file=sys.stderr)
    if problems:
        print("hint: make objects", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
