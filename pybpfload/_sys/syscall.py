"""System call numbers, and the one function that every system call goes through.

Tests replace `door` to see what would be asked of the kernel, or to make one call fail.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, NamedTuple

from pybpfload.errors import UnsupportedError

__all__ = ["Argument", "call", "door", "numbers"]

Argument = Any  # an int, or what ctypes.byref() gives


class Numbers(NamedTuple):
    bpf: int
    perf_event_open: int
    ioctl: int
    capget: int
    capset: int
    prctl: int


_GENERIC = Numbers(280, 241, 29, 90, 91, 167)
_BY_MACHINE: dict[str, Numbers] = {
    "x86_64": Numbers(321, 298, 16, 125, 126, 157),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
    "s390x": Numbers(351, 331, 54, 184, 185, 172),
    "ppc64le": Numbers(361, 319, 54, 183, 184, 171),
    "ppc64": Numbers(361, 319, 54, 183, 184, 171),
}


def numbers() -> Numbers:
    """The numbers of this machine.

    Raises:
        UnsupportedError: nobody has entered them.
    """
    found = _BY_MACHINE.get(os.uname().machine)
    if found is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise UnsupportedError(f"known system call numbers for {os.uname().machine}")
    return found


# CDLL gives up the interpreter's lock during the call: closing and waiting must not stop other threads.
_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def _kernel(number: int, *args: Argument) -> int:
    """The value, or minus the errno."""
    # A bare int would go as 32 bits.
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result: int = _syscall(ctypes.c_long(number), *words)
    return -ctypes.get_errno() if result == -1 else result


door: Callable[..., int] = _kernel


def call(number: int, *args: Argument) -> int:
    """Make a system call; returns its value, or minus the errno."""
    return door(number, *args)
