"""BPF tokens: what a process may do with BPF because somebody delegated it, through a bpffs.

A token is made from the directory of a bpffs that was mounted with delegate_* options, within the user
namespace that it is for. It then goes with every call that makes a map, a program or BTF.

Kernel: 6.9, 35f96de04127.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pybpfload._sys import attrs
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.uapi import Cmd

__all__ = ["attach_token", "current", "open_token", "using"]

# As libbpf has it, for programs whose users cannot say it otherwise. Empty means no token.
VARIABLE = "LIBBPF_BPF_TOKEN_PATH"
TOKEN_FD = 1 << 16  # BPF_F_TOKEN_FD: the same in the flags of maps, programs and BTF
_chosen: ContextVar[int | None] = ContextVar("token", default=None)
_lock = threading.Lock()
_of_environment: dict[str, int] = {}  # opened once, and never closed


@uninterrupted
def open_token(path: str) -> Fd:
    """BPF_TOKEN_CREATE of the bpffs at a path.

    Raises:
        SyscallError: the kernel has no tokens (EINVAL), or nothing is delegated there (ENOENT, EPERM).
        OSError: there is no such directory.
    """
    from pybpfload._sys.bpf import bpf, error_of

    directory = Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), f"bpffs {path}")
    with directory:
        result = bpf(Cmd.TOKEN_CREATE, attrs.TokenCreate(bpffs_fd=directory.fileno()))
    if result < 0:
        raise error_of(-result, f"BPF_TOKEN_CREATE {path}")
    return Fd(result, f"BPF token of {path}")


@contextmanager
def using(path: str | None) -> Iterator[None]:
    """Inside, what is made is made with the token of a path; "" is none, None what the environment says."""
    if path is None:
        yield
        return
    token = open_token(path) if path else None
    before = _chosen.set(token.fileno() if token else -1)
    try:
        yield
    finally:
        _chosen.reset(before)
        if token:
            token.close()


def current() -> int:
    """The file descriptor of the token to be used, or -1."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    path = os.environ.get(VARIABLE)
    if not path:
        return -1
    with _lock:
        if path not in _of_environment:
            token = open_token(path)
            _of_environment[path] = os.dup(token.fileno())
            token.close()
        return _of_environment[path]


def attach_token(command: Cmd, attr: attrs.Attr) -> None:
    """Put the token into the attr of a command that takes one."""
    if command not in _FIELDS:
        return
    fd = current()
    if fd >= 0:
        flags, field = _FIELDS[command]
        setattr(attr, flags, getattr(attr, flags) | TOKEN_FD)
        setattr(attr, field, fd)


_FIELDS = {
    Cmd.MAP_CREATE: ("map_flags", "map_token_fd"),
    Cmd.PROG_LOAD: ("prog_flags", "prog_token_fd"),
    Cmd.BTF_LOAD: ("btf_flags", "btf_token_fd"),
}
