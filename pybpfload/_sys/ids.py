"""bpf(2) for what others made: every program, map and link of the kernel has a number. Needs CAP_SYS_ADMIN."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator

from pybpfload._sys import attrs
from pybpfload._sys.bpf import bpf, error_of, get_info
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.uapi import Cmd

__all__ = ["each", "link_head", "numbers", "open_number"]

# Of a kind of object: the command that counts, and the one that opens.
COMMANDS = {
    "program": (Cmd.PROG_GET_NEXT_ID, Cmd.PROG_GET_FD_BY_ID),
    "map": (Cmd.MAP_GET_NEXT_ID, Cmd.MAP_GET_FD_BY_ID),
    "link": (Cmd.LINK_GET_NEXT_ID, Cmd.LINK_GET_FD_BY_ID),
}


@uninterrupted
def open_number(kind: str, number: int, flags: int = 0) -> Fd:
    """BPF_*_GET_FD_BY_ID."""
    command = COMMANDS[kind][1]
    result = bpf(command, attrs.Id(id=number, open_flags=flags))
    if result < 0:
        raise error_of(-result, f"BPF_{command.name} {number}")
    return Fd(result, f"{kind} {number}")


def numbers(kind: str) -> Iterator[int]:
    """BPF_*_GET_NEXT_ID: all numbers of a kind, ascending."""
    command, attr = COMMANDS[kind][0], attrs.Id()
    while True:
        result = bpf(command, attr)
        if result == -errno.ENOENT:
            return
        if result < 0:
            raise error_of(-result, f"BPF_{command.name}")
        attr.id = attr.next_id
        yield int(attr.id)


def each(kind: str) -> Iterator[Fd]:
    """Every object of a kind, open while it is looked at. Those that go away meanwhile are left out."""
    for number in numbers(kind):
        try:
            fd = open_number(kind, number)
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue
            raise
        with fd:
            yield fd


def link_head(fd: int) -> attrs.LinkHead:
    """BPF_OBJ_GET_INFO_BY_FD of a link: what all types have."""
    found = attrs.LinkHead()
    assert ctypes.sizeof(found) == 16
    get_info(fd, found, "link")
    return found
