"""Links: what keeps a program attached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pybpfload._sys.fd import Fd
from pybpfload.errors import printable

__all__ = ["Link", "LinkSet"]


class Link:
    """One attachment. Closing it detaches the program.

    Attributes:
        program_name: whose it is.
        kind: which way it was attached: ``raw_tracepoint``, ``perf_link`` or ``perf_ioctl``.
        target: what to, for people.
    """

    def __init__(self, program_name: str, kind: str, target: str, fds: Sequence[Fd]) -> None:
        self.program_name = program_name
        self.kind = kind
        self.target = target
        self._fds = list(fds)

    def __repr__(self) -> str:
        state = "" if self._fds else " closed"
        return f"<Link {printable(self.program_name)} -> {printable(self.target)} by {self.kind}{state}>"

    def fileno(self) -> int:
        """The file descriptor that holds the attachment.

        Raises:
            ValueError: it is closed.
        """
        if not self._fds:
            raise ValueError(f"link of {self.program_name} is closed")
        return self._fds[0].fileno()

    def close(self) -> None:
        """Detach. Closing twice does nothing."""
        fds, self._fds = self._fds, []
        for fd in fds:
            fd.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LinkSet:
    """Several links that are closed together."""

    def __init__(self) -> None:
        self._links: list[Link] = []

    def add(self, link: Link) -> None:
        """Take over a link."""
        self._links.append(link)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def close(self) -> None:
        """Detach all, the last first; an error at one does not keep the others attached."""
        error = None
        while self._links:
            try:
                self._links.pop().close()
            except OSError as e:
                error = error or e
        if error:
            raise error

    def __enter__(self) -> LinkSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
