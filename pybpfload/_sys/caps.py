"""Giving up capabilities.

What a program needs to load and attach is more than what it needs afterwards. What it has given up, nobody can
use who takes it over later.

Source: capabilities(7), capset(2), include/uapi/linux/capability.h (version 3: two words of 32 bits each).
"""

from __future__ import annotations

import ctypes
import errno

from pybpfload._sys.syscall import call, numbers
from pybpfload.errors import PrivilegeError, SyscallError

__all__ = ["limit_capabilities"]

VERSION_3 = 0x20080522
Sets = ctypes.c_uint32 * 6  # effective, permitted, inheritable: the low words, then the high ones


def limit_capabilities(keep: int) -> int:
    """Give up all capabilities of this thread, and of those it starts from now on, but for some.

    For good: they are taken out of the permitted set. A program that this one executes may get them again, if its
    file or user has them.

    Args:
        keep: those that stay if they are there, a bit for each.

    Returns:
        What is left.

    Raises:
        SyscallError: the kernel refused.
    """
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    sets = Sets()
    _check(call(numbers().capget, ctypes.byref(header), ctypes.byref(sets)), "capget")
    limited = Sets(*(word & keep >> 32 * (place // 3) & 0xFFFFFFFF for place, word in enumerate(sets)))
    _check(call(numbers().capset, ctypes.byref(header), ctypes.byref(limited)), "capset")
    return int(limited[0]) | int(limited[3]) << 32


def _check(result: int, name: str) -> None:
    if result < 0:
        raise (PrivilegeError if result == -errno.EPERM else SyscallError)(-result, name)
