"""Debian packages of several releases, downloaded but never installed: BPF objects, and libbpf to compare with.

A private apt root is used, so that the host's own apt stays as it is. What was taken out of a package is kept
below $XDG_CACHE_HOME, and taken from there the next time. Without apt, or without network, tests skip; under CI
they fail.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.embedded import extract
from tests.support.gates import require_tool, skip_or_fail

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Packages that ship or embed BPF objects. Not bpftool, xdp-tools and libxdp1: they are for other tests.
PACKAGES = {
    "bookworm": ("golang-github-cilium-ebpf-dev", "ir-keytable", "libbpf-tools", "libknot13", "pcp"),
    "trixie": (
        "bpftop", "golang-github-cilium-ebpf-dev", "ir-keytable", "libbpf-tools", "libbpftune0", "libknot15",
        "libsystemd-shared", "mimic", "opensnitch-ebpf-modules", "pcp", "pwru", "suricata", "systemd",
        "systemd-container",
    ),
    # What changes from day to day: only for `python -m tests.oracle --suite sid`.
    "sid": (
        "bpfilter", "bpftop", "ceccomp", "ir-keytable", "libbpf-tools", "libbpftune0", "libknot16",
        "libsystemd-shared", "mimic", "network-manager", "nsd", "opensnitch-ebpf-modules", "pwru", "rsched",
        "rtc-testbench", "suricata", "systemd", "systemd-container", "udev-hid-bpf",
    ),
}  # fmt: skip


def cache() -> Path:
    """Where things are kept; may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pybpfload-tests"


def package_objects(suite: str, package: str) -> list[Path]:
    """The BPF objects of a package, each in a file of its own."""
    folder = cache() / suite / "objects" / package
    if not folder.exists():
        with _unpacked(suite, package) as tree, _new(folder) as new:
            files = [path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()]
            assert list(extract(files, new)), f"no BPF objects in {package} of {suite}"
    return sorted(folder.glob("*.bpf.o"))


def libbpf(suite: str) -> Path:
    """A folder with libbpf.a and the headers of a release: include/bpf/*.h."""
    folder = cache() / suite / "libbpf"
    if not folder.exists():
        with _unpacked(suite, "libbpf-dev") as tree, _new(folder) as new:
            (library,) = tree.rglob("libbpf.a")
            shutil.copy(library, new)
            shutil.copytree(tree / "usr" / "include", new / "include")
    return folder


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder that appears when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        yield Path(work)
        with contextlib.suppress(FileExistsError):
            shutil.copytree(work, folder.with_name(f"{folder.name}.new{os.getpid()}"))
            folder.with_name(f"{folder.name}.new{os.getpid()}").rename(folder)


@contextlib.contextmanager
def _unpacked(suite: str, package: str) -> Iterator[Path]:
    """The files of a package, for as long as they are needed."""
    root = _apt_root(suite)
    with tempfile.TemporaryDirectory() as folder:
        _apt(root, "apt-get", "-qq", "download", package, cwd=folder)
        (deb,) = Path(folder).glob("*.deb")
        tree = Path(folder) / "tree"
        subprocess.run([require_tool("dpkg-deb"), "-x", str(deb), str(tree)], check=True)
        yield tree


@functools.cache
def _apt_root(suite: str) -> Path:
    """A private root for apt that knows one release; its lists are fetched once a session."""
    root = cache() / "apt" / suite
    for folder in ("lists/partial", "archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "status").write_text("")
    architecture = subprocess.run([require_tool("dpkg"), "--print-architecture"], check=True, capture_output=True)
    name = architecture.stdout.decode().strip()
    (root / "conf").write_text(
        f'Dir::State "{root}"; Dir::State::status "{root}/status"; Dir::Cache "{root}";'
        f'Dir::Etc::sourcelist "{root}/sources.list"; Dir::Etc::sourceparts "/dev/null";'
        'Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";'
        f'APT::Architecture "{name}"; APT::Architectures {{ "{name}"; }};'
        'APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "3";'
    )
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (root / "sources.list").write_text(f"deb {signed}{_mirror()} {suite} main\n")
    _apt(root, "apt-get", "-qq", "update")
    return root


def _mirror() -> str:
    """The mirror of Debian that the host's apt uses."""
    command = [require_tool("apt-get"), "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    mirrors = [uri for uri in found if uri.rstrip("/").endswith("/debian")]
    if not mirrors:
        skip_or_fail("apt knows no mirror of Debian")
    return mirrors[0]


def _apt(root: Path, *command: str, cwd: str | None = None) -> None:
    environment = {**os.environ, "APT_CONFIG": str(root / "conf"), "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        skip_or_fail(f"{' '.join(command)}: {done.stderr.strip()}")
