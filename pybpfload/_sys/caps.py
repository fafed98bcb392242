"""Giving up capabilities.

What a program needs to load and attach is more than what it needs afterwards. What it has given up, nobody can
use who takes it over later.

Source: capabilities(7), capset(2), include/uapi/linux/capability.h (version 3: two words of 32 bits each).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pybpfload._sys.syscall import call, numbers
from pybpfload.errors import PrivilegeError, SyscallError

__all__ = ["change_user", "limit_capabilities", "without_capabilities"]

VERSION_3 = 0x20080522
Sets = ctypes.c_uint32 * 6  # effective, permitted, inheritable: the low words, then the high ones
EFFECTIVE = (0, 3)
HIGHEST = 63

# include/uapi/linux/prctl.h
PR_SET_KEEPCAPS, PR_CAPBSET_READ, PR_CAPBSET_DROP = 8, 23, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4


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
    sets = _get()
    limited = Sets(*(word & keep >> 32 * (place // 3) & 0xFFFFFFFF for place, word in enumerate(sets)))
    _set(limited)
    return int(limited[0]) | int(limited[3]) << 32


@contextmanager
def without_capabilities() -> Iterator[None]:
    """Inside, this thread has no effective capability: whether something works without them can be tried.

    Raises:
        SyscallError: the kernel refused.
    """
    before = _get()
    _set(Sets(*(0 if place in EFFECTIVE else word for place, word in enumerate(before))))
    try:
        yield
    finally:
        _set(before)


def change_user(uid: int, gid: int, *, keep: int = 0) -> None:
    """Become another user, for good, in no group but his own and without any capability but for some.

    The bounding set is emptied and new privileges are ruled out, so nothing that this process executes gets any,
    either. All threads change their ids, but only this thread keeps or loses what `keep` says: call it before others
    are started. Works as root, and with CAP_SETUID and CAP_SETGID; with neither, `uid` and `gid` have to be those
    that the process has.

    Args:
        keep: capabilities that stay, a bit for each.

    Raises:
        SyscallError: the kernel refused. Part of it may have been done: end the process.
    """
    _prctl(PR_SET_KEEPCAPS, int(keep != 0))
    for number in range(HIGHEST + 1):
        if _raw_prctl(PR_CAPBSET_READ, number) == 1 and not keep >> number & 1:
            # Without CAP_SETPCAP they stay; that nothing new can be gained is sealed below.
            _raw_prctl(PR_CAPBSET_DROP, number)
    try:
        if os.getgroups() not in ([], [gid]):
            os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        _check(-(error.errno or errno.EPERM), "setresuid")
    _raw_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    sets = _get()
    for low in (0, 3):  # effective and inheritable are made of what is permitted
        permitted = sets[low + 1] & keep >> 32 * (low // 3) & 0xFFFFFFFF
        sets[low], sets[low + 1], sets[low + 2] = permitted, permitted, 0
    _set(sets)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _get() -> ctypes.Array[ctypes.c_uint32]:
    sets = Sets()
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    _check(call(numbers().capget, ctypes.byref(header), ctypes.byref(sets)), "capget")
    return sets


def _set(sets: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    _check(call(numbers().capset, ctypes.byref(header), ctypes.byref(sets)), "capset")


def _raw_prctl(option: int, argument: int) -> int:
    return call(numbers().prctl, option, argument, 0, 0, 0)


def _prctl(option: int, argument: int) -> None:
    _check(_raw_prctl(option, argument), "prctl")


def _check(result: int, name: str) -> None:
    if result < 0:
        raise (PrivilegeError if result == -errno.EPERM else SyscallError)(-result, name)
