"""A bpffs with everything delegated, for a child that has a user namespace of its own."""

from __future__ import annotations

import ctypes
import os
import socket

# System calls of every architecture alike.
FSCONFIG, FSMOUNT = 431, 432
SET_STRING, CREATE = 1, 6


def delegating_mount(link: socket.socket) -> None:
    """Mount the bpffs that the child asks for, with everything delegated, and hand it over."""
    libc = ctypes.CDLL(None, use_errno=True)
    _, (fs,), _, _ = socket.recv_fds(link, 1, 1)
    for option in (b"delegate_cmds", b"delegate_maps", b"delegate_progs", b"delegate_attachs"):
        assert libc.syscall(FSCONFIG, fs, SET_STRING, option, b"any", 0) == 0, os.strerror(ctypes.get_errno())
    assert libc.syscall(FSCONFIG, fs, CREATE, None, None, 0) == 0, os.strerror(ctypes.get_errno())
    mount = libc.syscall(FSMOUNT, fs, 0, 0)
    assert mount >= 0, os.strerror(ctypes.get_errno())
    socket.send_fds(link, [b"x"], [mount])
    os.close(fs)
    os.close(mount)
