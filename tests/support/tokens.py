"""A bpffs with everything delegated, for a child that has a user namespace of its own."""

from __future__ import annotations

import ctypes
import os
import socket

# System calls of every architecture alike.
FSCONFIG, FSMOUNT = 431, 432
SET_STRING, CREATE = 1, 6


# What such a child begins with: it becomes nobody in a user namespace of its own, asks for a bpffs through its socket
# `link`, and has the descriptor of that as `mount`.
CHILD = """
libc = ctypes.CDLL(None, use_errno=True)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
libc.prctl(4, 1, 0, 0, 0)  # readable /proc/self again
if libc.unshare(0x10000000 | 0x00020000):
    raise OSError(ctypes.get_errno(), "unshare")
for name, text in (("setgroups", "deny"), ("uid_map", "0 65534 1"), ("gid_map", "0 65534 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
socket.send_fds(link, [b"x"], [libc.syscall(430, b"bpf", 0)])
_, (mount,), _, _ = socket.recv_fds(link, 1, 1)
"""


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
