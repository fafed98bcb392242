"""File descriptors and numbers of what programs attach to: cgroups, network namespaces, network interfaces."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Union

from pybpfload._sys import bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError
from pybpfload.links.base import Link, run_all
from pybpfload.progs import Program

__all__ = ["OWN_NETNS", "HasFileno", "Place", "by_prog_attach", "interface_number", "opened", "own_program"]


class HasFileno(Protocol):
    """A socket, a file, a map."""

    def fileno(self) -> int:
        """The number of its file descriptor."""


OWN_NETNS = "/proc/thread-self/ns/net"
Place = Union[str, "os.PathLike[str]", int, HasFileno]


@contextmanager
def opened(place: Place) -> Iterator[int]:
    """The file descriptor of a path, which is closed again; or that of what has one already."""
    if isinstance(place, int):
        yield place
    elif isinstance(place, (str, os.PathLike)):
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    else:
        yield place.fileno()


@uninterrupted
def own_program(program: Program) -> Fd:
    """Another file descriptor of the program: what is attached without a link is named by it when it goes."""
    return Fd(os.dup(program.fileno()), f"program {program.name}")


def interface_number(device: str | int) -> int:
    """The number of a network interface, in this thread's network namespace.

    Raises:
        OSError: there is none of this name.
    """
    if isinstance(device, int):
        return device
    return socket.if_nametoindex(device)


@uninterrupted
def by_prog_attach(program: Program, fd: int | None, attach_type: int, target: str, flags: int = 0) -> Link:
    """The way of kernels without links for it. Nothing undoes it but close().

    Args:
        fd: of what to attach to; None for this thread's network namespace, for which the kernel wants none.

    Raises:
        SyscallError: the kernel refused.
    """
    # A namespace that is this thread's now may not be so later, but then it cannot be detached from either.
    mine, place = own_program(program), Fd(os.dup(fd), target) if fd is not None else None
    steps = [mine.close] if place is None else [mine.close, place.close]
    result = sys_links.prog_attach(program.fileno(), fd or 0, attach_type, flags)
    if result < 0:
        run_all(steps)
        raise bpf.error_of(-result, "BPF_PROG_ATTACH")

    home = os.stat(OWN_NETNS)

    def remove() -> None:
        if place is None and not os.path.samestat(home, os.stat(OWN_NETNS)):
            raise AttachError(program.name, target, "is to be closed in the network namespace of its attachment")
        number = place.fileno() if place is not None else 0
        sys_links.prog_detach(mine.fileno(), number, attach_type, program.name)

    return Link(program.name, "prog_attach", target, [], undo=[remove, *steps])
