"""Links: what keeps a program attached."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from pybpfload._sys import ids, pins
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError, BpfError, printable
from pybpfload.links.info import LinkInfo, read_info
from pybpfload.links.kinds import KINDS, kind_of_type
from pybpfload.progs import Program
from pybpfload.uapi import LinkType

__all__ = ["Link", "LinkSet", "link_from_id", "open_link"]

# One thread a link, up to here: they only wait.
MAX_THREADS = 64
Undo = Callable[[], None]


class Link:
    """One attachment. Closing it detaches the program, unless the link is pinned.

    Attributes:
        program_name: whose it is.
        kind: which way it was attached, a name of the table in docs/links.md: ``perf_link``, ``tracefs``.
        target: what to, for people.
    """

    def __init__(
        self,
        program_name: str,
        kind: str,
        target: str,
        fds: Sequence[Fd],
        *,
        held: Sequence[Fd] = (),
        undo: Sequence[Undo] = (),
    ) -> None:
        """A link owns what it is given.

        Args:
            fds: BPF links; none for kinds that are none.
            held: what else has to stay open, closed after them: perf events, programs.
            undo: what to do when all these are closed, in this order.
        """
        self.program_name = program_name
        self.kind = kind
        self.target = target
        self._fds = list(fds)
        self._held = list(held)
        self._undo = list(undo)
        self._files: list[Any] = []
        self._closed = False
        self._left: list[Undo] = []  # steps of closing that are still to be done

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<Link {printable(self.program_name)} -> {printable(self.target)} by {self.kind}{state}>"

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def fileno(self) -> int:
        """The file descriptor that holds the attachment.

        Raises:
            ValueError: it is closed, or this kind has none.
        """
        if self._closed:
            raise ValueError(f"link of {self.program_name} is closed")
        if not self._fds and not self._held:
            raise ValueError(f"link of {self.program_name}: {self.kind} has no file descriptor")
        return (self._fds or self._held)[0].fileno()

    def _one(self, what: str) -> int:
        """The BPF link, for what only links can."""
        if self._closed:
            raise ValueError(f"link of {self.program_name} is closed")
        if len(self._fds) != 1:
            shown = f"{len(self._fds)} links" if self._fds else "no link"
            raise BpfError(
                f"link of {self.program_name}: {what} takes one BPF link; this is attached by {self.kind}, {shown}"
            )
        return self._fds[0].fileno()

    @property
    def id(self) -> int:
        """The kernel's number for the link, as bpftool shows it."""
        return self.info().id

    def info(self) -> LinkInfo:
        """What the kernel says about the link.

        Raises:
            BpfError: this kind is no BPF link.

        Kernel: 5.8, f2e10bff16a0.
        """
        return read_info(self._one("information"))

    def update(self, program: Program, *, expected: Program | None = None) -> None:
        """Put another program in the place of this one, without a moment in between.

        Args:
            expected: only if this program is the one that is attached now.

        Raises:
            BpfError: this kind is no BPF link.
            SyscallError: this type of link keeps its program (EINVAL), or the program does not fit.

        Kernel: cgroups 5.7, netns and XDP 5.9, iterators 5.8, tcx 6.6, netkit 6.7, sockmap 6.10.
        """
        old = expected.fileno() if expected is not None else None
        sys_links.update(self._one("replacing the program"), program.fileno(), old, self.program_name)
        self.program_name = program.name

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give it a name on a bpffs: it stays attached when it is closed, until the name is removed too.

        Raises:
            BpfError: this kind is no BPF link.
        """
        pins.pin(self._one("a pin"), os.fspath(path))

    def detach(self) -> None:
        """Detach the program now, even if the link is pinned or others have it open too.

        Raises:
            BpfError: this kind is no BPF link.
            SyscallError: this type of link cannot be detached by force (EOPNOTSUPP).

        Kernel: 5.9, 73b11c2ab072: cgroups, netns, XDP; tcx 6.6, netkit 6.7, struct_ops 6.9.
        """
        sys_links.detach(self._one("a forced detach"), self.program_name)

    def also(self, undo: Undo) -> None:
        """One step more, for when it is closed."""
        self._undo.append(undo)

    @uninterrupted
    def close(self) -> None:
        """Detach. All steps are done, even after an error at one.

        Closing twice does nothing, but for what a signal handler's exception kept the first time from.
        """
        if not self._closed:
            self._closed = True
            self._left = [*[x.close for x in [*self._files, *self._fds, *self._held]], *self._undo]
        run_all(self._left)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_all(steps: list[Undo]) -> None:
    """Do all, and take each off the list; the first error is raised when all are done.

    What a signal handler raises goes through at once. The step that it met stays on the list with the rest.
    """
    error: Exception | None = None
    while steps:
        try:
            steps[0]()
        except Exception as e:  # noqa: BLE001 - raised below
            error = error or e
        del steps[0]
    if error:
        raise error


class LinkSet:
    """Several links that are closed together."""

    def __init__(self, links: Sequence[Link] = ()) -> None:
        self._links: list[Link] = list(links)

    def add(self, link: Link) -> Link:
        """Take over a link; returns it."""
        self._links.append(link)
        return link

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    @uninterrupted
    def close(self) -> None:
        """Detach all; an error at one does not keep the others attached.

        Links whose closing waits for the kernel are closed at the same time, each in a thread of its own;
        before them the others, the last first.
        """
        links = self._links[::-1]
        slow = [link for link in links if link.kind in KINDS and KINDS[link.kind].slow]
        steps: list[Undo] = [link.close for link in links if link not in slow]
        if len(slow) > 1:
            steps.append(lambda: _close_in_threads(slow))
        else:
            steps += [link.close for link in slow]
        run_all(steps)
        self._links.clear()  # only now: what an interruption left can be closed again

    def __enter__(self) -> LinkSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _close_in_threads(links: Sequence[Link]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(MAX_THREADS, len(links)), "pybpfload-close") as pool:
        results = [pool.submit(link.close) for link in links]
    run_all([result.result for result in results])


def open_link(path: str | os.PathLike[str]) -> Link:
    """The link that is pinned at a path.

    Raises:
        SyscallError: nothing is pinned there.
        AttachError: what is pinned there is no link.
    """
    fd = pins.open_pinned(os.fspath(path), "link")
    try:
        if os.readlink(f"/proc/self/fd/{fd.fileno()}") not in ("anon_inode:bpf_link", "anon_inode:bpf-link"):
            raise AttachError("?", os.fspath(path), "what is pinned there is no link")
        return _known(fd, os.fspath(path))
    except BaseException:
        fd.close()
        raise


def link_from_id(number: int) -> Link:
    """The link with a number, as bpftool shows it. Closing ours detaches nothing as long as others have it.

    Raises:
        SyscallError: there is none, or no privilege to take it (CAP_SYS_ADMIN).

    Kernel: 5.8, a3b80e107894.
    """
    fd = ids.open_number("link", number)
    try:
        return _known(fd, f"link {number}")
    except BaseException:
        fd.close()
        raise


def _known(fd: Fd, target: str) -> Link:
    info = read_info(fd.fileno())
    if info.type == LinkType.ITER:
        from pybpfload.links.iter import IterLink  # which builds on this module

        return IterLink(f"program {info.prog_id}", kind_of_type(info.type), info.target or target, [fd])
    return Link(f"program {info.prog_id}", kind_of_type(info.type), info.target or target, [fd])
