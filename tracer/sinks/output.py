# SPDX-License-Identifier: MIT
"""The file, pipe or terminal that lines go to.

What it promises:

- A file is appended to, and holds whole lines only. If the disk fills up, the line that did not fit is
  taken away again, and the error says how many events were written and how many were not.
- A new file can be read by its owner only: events tell who did what.
- A symbolic link is followed only if it belongs to root or to us. In /tmp it could be anybody's.
- A reader that goes away ends the program quietly, even when there is nothing to write just then.
- A reader that has stopped reading holds the tracer up, not longer than `GRACE_S` past its end: writes
  to anything but a file wait until the kernel has room, in pieces that cannot block.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import TYPE_CHECKING, Callable

from tracer.errors import OutputError, ReaderGoneError

if TYPE_CHECKING:
    from types import TracebackType

STDOUT = 1

# How long to wait for a slow reader once the tracer is to end.
GRACE_S = 1.0
WAIT_MS = 50

# POLLOUT on a pipe promises that so many bytes can be written without blocking: pipe(7).
PIECE = select.PIPE_BUF


class Output:
    """An open file descriptor that takes lines.

    Args:
        fd: is owned from here on, unless it is stdout.
        name: for messages.
        hurry: whether the tracer is to end, so that waiting has to end too.

    Attributes:
        written: how many lines have been written.
        unwritten: how many have not, because of an error.

    Raises:
        OutputError: there is no such descriptor.
    """

    def __init__(self, fd: int, name: str, hurry: Callable[[], bool]) -> None:
        self.written = 0
        self.unwritten = 0
        self._fd = fd
        self._name = name
        self._hurry = hurry
        self._give_up_at = 0.0
        try:
            self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        except OSError as error:
            raise OutputError(f"cannot write {name}: {error.strerror}") from error
        self._room, self._end = select.poll(), select.poll()
        self._room.register(fd, select.POLLOUT)
        self._end.register(fd, 0)  # errors are always reported

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; stdout stays open. Can be called again."""
        fd, self._fd = self._fd, -1
        if fd > STDOUT:
            os.close(fd)

    @property
    def reader_gone(self) -> bool:
        """Whether it is certain that nobody reads what is written."""
        return not self._is_file and bool(self._end.poll(0))

    def write_lines(self, lines: list[str]) -> None:
        """Write lines, each with its newline.

        Raises:
            ReaderGoneError: nobody reads any more.
            OutputError: not all could be written; `written` and `unwritten` count the lines.
        """
        data = "".join(lines).encode("ascii")
        done = 0
        try:
            while done < len(data):
                done += self._write(data, done)
        except OSError as error:
            whole = data.count(b"\n", 0, done)
            self.written += whole
            self.unwritten += len(lines) - whole
            self._take_back(done - (data.rfind(b"\n", 0, done) + 1))
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise ReaderGoneError(f"{self._name}: nobody reads it any more") from error
            raise OutputError(
                f"cannot write {self._name}: {error.strerror}",
                hint="free some space, or choose another --output" if error.errno == errno.ENOSPC else "",
            ) from error
        self.written += len(lines)

    def _write(self, data: bytes, start: int) -> int:
        if self._is_file:
            return os.write(self._fd, data[start:] if start else data)
        while not self._room.poll(WAIT_MS):
            if self._hurry() and self._is_over():
                raise OSError(errno.ETIMEDOUT, "its reader has stopped reading")
        return os.write(self._fd, data[start : start + PIECE])

    def _is_over(self) -> bool:
        now = time.monotonic()
        self._give_up_at = self._give_up_at or now + GRACE_S
        return now >= self._give_up_at

    def _take_back(self, count: int) -> None:
        """Remove the beginning of a line from the end of a file, so that the file stays valid."""
        if count and self._is_file:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - count)


def open_output(path: str, hurry: Callable[[], bool]) -> Output:
    """The output for ``--output``: stdout for "" and "-", else a file to append to.

    Raises:
        OutputError: it cannot be opened, or must not be.
    """
    if path in ("", "-"):
        return Output(STDOUT, "stdout", hurry)
    try:
        fd = _open(path, hurry)
    except OSError as error:
        raise OutputError(f"cannot open {path}: {error.strerror}") from error
    return Output(fd, path, hurry)


def _open(path: str, hurry: Callable[[], bool]) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
    try:
        # A link to follow is opened without O_NOFOLLOW, after a look at its owner. Whoever may replace it in
        # between may write into its directory, and in a sticky one only its owner may.
        if stat.S_ISLNK(os.lstat(path).st_mode):
            _check_link(path)
            flags &= ~os.O_NOFOLLOW
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            return _open_special(path, flags & os.O_NOFOLLOW, hurry if stat.S_ISFIFO(mode) else lambda: True)
    except FileNotFoundError:
        pass  # it will be created
    try:
        fd = os.open(path, flags, 0o600)
    except PermissionError:
        return os.open(path, flags & ~os.O_RDWR | os.O_WRONLY, 0o600)
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        os.write(fd, b"\n")  # somebody was cut off in the middle of a line
    return fd


def _check_link(path: str) -> None:
    owner = os.lstat(path).st_uid
    if owner not in (0, os.geteuid()):
        raise OutputError(
            f"cannot open {path}: it is a symbolic link that belongs to uid {owner}, not to you or root",
            hint="name the file that it leads to",
        )


def _open_special(path: str, no_follow: int, give_up: Callable[[], bool]) -> int:
    """A device or FIFO. A FIFO without a reader is waited for, as the shell does."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | no_follow
    while True:
        try:
            fd = os.open(path, flags)
        except OSError as error:
            if error.errno != errno.ENXIO or give_up():
                raise
            time.sleep(WAIT_MS / 1000)
        else:
            os.set_blocking(fd, True)
            return fd
