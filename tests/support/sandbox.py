"""Places of a test's own in the kernel: a network namespace, a cgroup. They go when the test does."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pybpfload._sys import tracefs
from pybpfload.errors import BpfError

CLONE_NEWNET = 0x40000000
OWN_NETNS = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def netns() -> Iterator[None]:
    """A network namespace of this thread's own, where `lo` is up."""
    home = os.open(OWN_NETNS, os.O_RDONLY)
    try:
        _checked(_libc.unshare(CLONE_NEWNET))
        try:
            ip("link", "set", "lo", "up")
            yield
        finally:
            _checked(_libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """This thread is in the network namespace of a process. Sockets stay in that where they were made."""
    home = os.open(OWN_NETNS, os.O_RDONLY)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            _checked(_libc.setns(there, CLONE_NEWNET))
        finally:
            os.close(there)
        try:
            yield
        finally:
            _checked(_libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


def ip(*arguments: str) -> None:
    """Run the program ip, which must succeed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def cgroup_root() -> Path:
    """Where cgroup2 is mounted."""
    with open("/proc/mounts") as file:
        return Path(next(line.split()[1] for line in file if line.split()[2] == "cgroup2"))


@contextmanager
def cgroup(*, inside: bool = True) -> Iterator[Path]:
    """A cgroup of the test's own; with `inside`, this process is in it meanwhile."""
    root = cgroup_root()
    path = root / f"pybpfload-test-{os.getpid()}-{time.monotonic_ns()}"
    with open("/proc/self/cgroup") as file:
        home = root / next(line.strip().split("::/", 1)[1] for line in file if line.startswith("0::"))
    path.mkdir()
    try:
        if inside:
            (path / "cgroup.procs").write_text(str(os.getpid()))
        yield path
    finally:
        if inside:
            (home / "cgroup.procs").write_text(str(os.getpid()))
        path.rmdir()


@contextmanager
def bpffs(folder: Path) -> Iterator[Path]:
    """A file system for pins of the test's own, mounted at a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "bpf", "none", str(folder)], check=True)
    try:
        own = folder / "own"  # the kernel puts files of its own beside it
        own.mkdir()
        yield own
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount_bpffs() -> None:
    """/sys/fs/bpf as users have it, where nothing has mounted it yet."""
    with open("/proc/mounts") as mounts:
        if not any(line.split()[1:3] == ["/sys/fs/bpf", "bpf"] for line in mounts):
            subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)


def own_probes() -> list[str]:
    """What this process has left in the probe files of tracefs."""
    found = []
    for file in ("kprobe_events", "uprobe_events"):
        try:
            lines = tracefs.read_lines(file)
        except (BpfError, OSError):
            continue
        found += [line.decode() for line in lines if f"{tracefs.GROUP}/p{os.getpid()}_".encode() in line]
    return found


def libc_path() -> str:
    """The libc that this process has mapped."""
    with open("/proc/self/maps") as file:
        return next(line.split()[-1] for line in file if "/libc.so" in line or "/libc-2" in line)
