"""Iterators: programs that the kernel runs for each map element, task, socket..., and whose output is a file."""

from __future__ import annotations

import os
from typing import IO, Any

from pybpfload._sys import bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError
from pybpfload.links.base import Link
from pybpfload.maps import Map
from pybpfload.progs import Program

__all__ = ["IterLink", "attach_iter"]

# enum bpf_cgroup_iter_order
CGROUP_ORDER = {"self": 1, "down": 2, "down_post": 3, "up": 4, "children": 5}


class IterLink(Link):
    """An iterator. Each open() is a run of its own."""

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """A file with what the program writes: text, or bytes with mode ``rb``.

        The file belongs to the link, which closes it if it is still open. The program runs while it is read.

        Raises:
            SyscallError: the kernel refused.
        """
        fd = sys_links.iterate(self.fileno(), self.program_name)
        try:
            file: IO[Any] = open(fd, mode, **options)  # noqa: SIM115 - the link closes it
        except BaseException:
            os.close(fd)
            raise
        self._files = [x for x in self._files if not x.closed]
        self._files.append(file)
        return file

    def read(self) -> str:
        """All that one run writes, as text."""
        with self.open() as file:
            return str(file.read())

    def __enter__(self) -> IterLink:
        return self


@uninterrupted
def attach_iter(
    program: Program,
    *,
    map: Map | None = None,
    cgroup: str | os.PathLike[str] | None = None,
    order: str = "down",
    pid: int = 0,
    tid: int = 0,
) -> IterLink:
    """The iterator that SEC(iter/TARGET) names.

    ::

        with attach_iter(program) as link:
            print(link.open().read())

    Args:
        map: whose elements (bpf_map_elem, sockmap, bpf_sk_storage_map).
        cgroup: where a walk over cgroups begins.
        order: of that walk: self, down, down_post, up, children.
        pid, tid: tasks of one process, or one task, instead of all.

    Raises:
        AttachError: the iterator does not take what it was given, or lacks what it needs.

    Kernel: 5.8, ae24345da54e; cgroups 6.1, d4ccaf58a847; pid and tid 6.1, f0d74c4da1f0.
    """
    target = f"iter {program.spec.target}"
    held: list[Fd] = []
    words: list[int] = []
    try:
        if map is not None:
            words = [map.fileno()]
        elif cgroup is not None:
            fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.append(Fd(fd, f"cgroup {os.fspath(cgroup)}"))
            if order not in CGROUP_ORDER:
                raise AttachError(program.name, target, f"order `{order}`: expected one of {', '.join(CGROUP_ORDER)}")
            words = [CGROUP_ORDER[order], fd, 0, 0]
        elif pid or tid:
            words = [tid, pid, 0]
        result = sys_links.create_iter(program.fileno(), words)
        if result < 0:
            raise bpf.error_of(-result, "BPF_LINK_CREATE iterator")
    except OSError as cause:
        raise AttachError(program.name, target, cause) from cause
    finally:
        for one in held:
            one.close()
    return IterLink(program.name, "iter_link", target, [Fd(result, f"link of {program.name}")])
