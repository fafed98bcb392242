"""bpf(2), one function a command. Errors become exceptions here, with the call and its object named.

Kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK. So when a call that allocates is
refused, the limit is raised once, if that is allowed, and the call is tried again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import threading
from functools import partial

from pybpfload import insn, privilege
from pybpfload._sys import attrs
from pybpfload._sys.syscall import call, numbers
from pybpfload._sys.token import attach_token
from pybpfload.errors import PrivilegeError, SyscallError
from pybpfload.helper_ids import HELPERS
from pybpfload.uapi import Cmd, ProgType

__all__ = ["address_of", "allocating", "bpf", "buffer", "error_of", "get_info", "object_name", "raw"]

BUSY_TRIES = 5
_memlock = threading.Lock()
_memlock_raised: bool | None = None  # not tried yet


def address_of(buffer: ctypes.Array) -> int:  # type: ignore[type-arg]
    """The address of a ctypes buffer; keep the buffer alive."""
    return ctypes.addressof(buffer)


def buffer(data: bytes) -> ctypes.Array:  # type: ignore[type-arg]
    """A copy that the kernel can read; keep it alive as long as its address is in use."""
    return (ctypes.c_char * max(1, len(data))).from_buffer_copy(data or b"\0")


def error_of(number: int, what: str, detail: str = "") -> SyscallError:
    """The exception for an errno."""
    if number not in (errno.EPERM, errno.EACCES):
        return SyscallError(number, what, detail)
    error = PrivilegeError(number, what, detail)
    error.explain = partial(privilege.explain, what)
    return error


def bpf(command: Cmd, attr: attrs.Attr) -> int:
    """The raw call: a value, or minus the errno."""
    return call(numbers().bpf, int(command), ctypes.byref(attr), ctypes.sizeof(attr))


def raw(command: Cmd, words: bytes) -> int:
    """As `bpf`, of an attr that is already laid out: for trying what a kernel knows."""
    attr = (ctypes.c_char * max(len(words), 8)).from_buffer_copy(words.ljust(8, b"\0"))
    return call(numbers().bpf, int(command), ctypes.byref(attr), len(attr))


def _raise_memlock() -> bool:
    """Lift RLIMIT_MEMLOCK, once a process; returns whether it was lifted, so that trying again may help."""
    global _memlock_raised
    with _memlock:
        if _memlock_raised is None:
            _memlock_raised = _lift()
        # Another thread may have lifted it after our call was refused.
        return _memlock_raised


def _lift() -> bool:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or not _counts_memlock():
        return False
    for limit in ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, limit)
            return True
        except (OSError, ValueError):
            continue  # without CAP_SYS_RESOURCE only up to the hard limit
    return False


def _counts_memlock() -> bool:
    """Whether the kernel is from before 5.11: one that has the helper that came with 5.11 counts otherwise."""
    code, gpl = bytearray(16), buffer(b"GPL\0")
    insn.write(code, 0, insn.Insn(insn.CALL, 0, 0, 0, HELPERS.index("ktime_get_coarse_ns")))
    insn.write(code, 1, insn.Insn(insn.EXIT, 0, 0, 0, 0))
    text = buffer(bytes(code))
    attr = attrs.ProgLoad(prog_type=ProgType.SOCKET_FILTER, insn_cnt=2, insns=address_of(text), license=address_of(gpl))
    result = bpf(Cmd.PROG_LOAD, attr)
    if result >= 0:
        os.close(result)
    return result < 0


def allocating(command: Cmd, attr: attrs.Attr) -> int:
    """A call that makes something: with the token if there is one, and again when the kernel is busy."""
    attach_token(command, attr)
    result = bpf(command, attr)
    for _ in range(BUSY_TRIES):
        if result not in (-errno.EAGAIN, -errno.EINTR):
            break
        result = bpf(command, attr)
    if result == -errno.EPERM and _raise_memlock():
        result = bpf(command, attr)
    return result


def object_name(text: str) -> bytes:
    """A name as the kernel allows it: 15 characters of letters, digits, ``_`` and ``.``."""
    raw = text.encode("ascii", "replace")[:15]
    return bytes(c if chr(c).isalnum() or c in b"_." else ord("_") for c in raw)


def get_info(fd: int, info: ctypes.Structure, what: str) -> None:
    attr = attrs.ObjInfo(bpf_fd=fd, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    result = bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)
    if result < 0:
        raise error_of(-result, f"BPF_OBJ_GET_INFO_BY_FD {what}")
