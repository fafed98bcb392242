"""Gates around tests that use the kernel: may they run, and did they clean up.

Nothing here looks at what other processes do: file descriptors are this process's own, and of BPF objects
only those are checked that this process itself made.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pybpfload._sys import syscall

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")
SYS_BPF = {"x86_64": 321, "aarch64": 280}
BPF_MAP_CREATE = 0
BPF_MAP_TYPE_ARRAY = 2
# Commands that answer with the file descriptor of something new.
CREATING = frozenset({BPF_MAP_CREATE, 5, 17, 28})  # PROG_LOAD, RAW_TRACEPOINT_OPEN, LINK_CREATE
# Commands that give the next id after one: they say whether an object still exists without touching it. (To open a
# program array by its id while its last descriptor goes away can leave it in the kernel for good: both make the kernel
# hold it for one and the same piece of work.)
GET_NEXT_ID = {"prog": 11, "map": 12, "link": 31}
# An id goes with the last reference, which the kernel may drop only after a grace period.
# The kernel frees struct_ops after all tasks have been in user mode once: on a busy machine, that takes its time.
GONE_WITHIN_S = 60.0


def kernel_tests_required() -> bool:
    """Whether a kernel test that cannot run is a failure instead of a skip."""
    return os.environ.get("PYBPFLOAD_KERNEL_TESTS") == "1" or os.environ.get("CI") == "true"


def skip_or_fail(reason: str) -> None:
    """Skip the running test; where all tests are required, fail it."""
    if kernel_tests_required():
        pytest.fail(f"required here, but cannot run: {reason}", pytrace=False)
    pytest.skip(reason)


def require_tool(name: str) -> str:
    """Path of a program that the test compares with; without it the test skips, or fails if required."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        skip_or_fail(f"the program {name} is not installed (tools/setup_tests.sh)")
    assert path is not None
    return path


@functools.cache
def why_no_kernel_tests() -> str | None:
    """The reason why kernel tests cannot run here, or None when they can."""
    if os.geteuid() != 0:
        return "not root"
    if not KERNEL_BTF.exists():
        return f"this kernel has no BTF at {KERNEL_BTF}"
    if os.uname().machine not in SYS_BPF:
        return f"no system call number of bpf(2) for {os.uname().machine}"
    try:
        fd = _bpf(BPF_MAP_CREATE, BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    except OSError as error:
        return f"bpf(2) cannot make a map: {error}"
    os.close(fd)
    return None


def _bpf(command: int, *words: int) -> int:
    """Call bpf(2) with an attr of 32-bit words; a way of its own, for the gates check the library's."""
    return _call(command, (ctypes.c_uint32 * 32)(*words))


def _call(command: int, attr: ctypes.Array[ctypes.c_uint32]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(SYS_BPF[os.uname().machine], command, ctypes.byref(attr), ctypes.sizeof(attr))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def bpf_object_exists(kind: str, number: int) -> bool:
    """Whether the kernel still has the program, map or link with this id."""
    attr = (ctypes.c_uint32 * 32)(number - 1)
    try:
        _call(GET_NEXT_ID[kind], attr)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return attr[1] == number


def open_fds() -> dict[int, str]:
    """What each file descriptor of this process refers to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that listed the directory
    return found


def bpf_ids(fd: int) -> set[tuple[str, int]]:
    """Kind and id of the BPF objects that a file descriptor holds, from its fdinfo: `{("prog", 12)}`."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return set()
    pairs = (line.partition(":") for line in lines)
    return {
        (key[: -len("_id")], int(value))
        for key, _, value in pairs
        if key in {"prog_id", "map_id", "link_id"} and int(value) != 0
    }


class Leaks:
    """What a test leaves behind, told apart from what was there before it.

    `created` takes each new file descriptor of the library; `check()` names those still open, and each BPF
    object seen through one that is still in the kernel: pinned, attached or held by somebody else.
    """

    def __init__(self) -> None:
        self._before = open_fds()
        self._ids: set[tuple[str, int]] = set()

    def created(self, fd: int) -> None:
        """Remember the BPF objects behind a file descriptor that was just made."""
        self._ids |= bpf_ids(fd)

    def check(self) -> list[str]:
        """One line for each thing left behind."""
        gc.collect()
        left = [
            f"file descriptor {fd} -> {target}" + "".join(f" {kind} {number}" for kind, number in bpf_ids(fd))
            for fd, target in open_fds().items()
            if self._before.get(fd) != target
        ]
        deadline = time.monotonic() + GONE_WITHIN_S
        remaining = {one for one in self._ids if bpf_object_exists(*one)}
        while remaining and not left and time.monotonic() < deadline:
            time.sleep(0.01)
            remaining = {one for one in remaining if bpf_object_exists(*one)}
        return left + [f"BPF {kind} with id {number}" for kind, number in sorted(remaining)]


@contextmanager
def watched_door(leaks: Leaks) -> Iterator[None]:
    """Shows every program, map and link that the library makes meanwhile to `leaks`."""
    door = syscall.door
    bpf = SYS_BPF[os.uname().machine]

    def watched(number: int, *arguments: object) -> int:
        result = door(number, *arguments)
        if number == bpf and result >= 0 and arguments[0] in CREATING:
            leaks.created(result)
        return result

    syscall.door = watched
    try:
        yield
    finally:
        syscall.door = door
