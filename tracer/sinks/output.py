# SPDX-License-Identifier: MIT
"""The file, pipe or terminal that events and documents go to.

What it promises:

- A file that takes lines is appended to, and holds whole lines only. If the disk fills up, the line that did not
  fit is taken away again, and the error says how many events were written and how many were not.
- A file that takes a document is replaced once the document is whole: nobody sees half of one.
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
from bisect import bisect_right
from itertools import accumulate
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


class _StoppedError(Exception):
    """A write ended early: so many bytes are out, and why there are no more."""

    def __init__(self, done: int, error: OSError) -> None:
        super().__init__(done, error)
        self.done, self.error = done, error


class Output:
    """An open file descriptor that takes events as text.

    Args:
        fd: is owned from here on, unless it is stdout.
        name: for messages.
        hurry: whether the tracer is to end, so that waiting has to end too.
        becomes: name of the file that this temporary one replaces at the end, or "".

    Attributes:
        written: how many events have been written.
        unwritten: how many have not, because of an error.

    Raises:
        OutputError: there is no such descriptor.
    """

    def __init__(self, fd: int, name: str, hurry: Callable[[], bool], *, becomes: str = "") -> None:
        self.written = 0
        self.unwritten = 0
        self._becomes = becomes
        self._beginning = ""
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
        if self._becomes and kind is None:
            self._replace()
        self.close()

    def close(self) -> None:
        """Close the descriptor; stdout stays open. A document that is not whole goes. Can be called again."""
        fd, self._fd = self._fd, -1
        becomes, self._becomes = self._becomes, ""
        if becomes:
            os.unlink(_temporary(becomes))
        if fd > STDOUT:
            os.close(fd)

    def _replace(self) -> None:
        """The document is whole: it takes the place of the file."""
        try:
            os.fsync(self._fd)
            os.rename(_temporary(self._becomes), self._becomes)
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}") from error
        finally:
            if not os.path.lexists(_temporary(self._becomes)):
                self._becomes = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a file that lines are appended to, and that can be opened again."""
        return self._is_file and self._fd > STDOUT and not self._becomes

    def reopen(self) -> None:
        """Go on in the file that has the name now; the old one has been moved away.

        Raises:
            OutputError: it cannot be opened.
        """
        new = open_output(self._name, self._hurry)
        os.dup2(new._fd, self._fd, inheritable=False)
        new.close()
        self.begin_with(self._beginning)

    def begin_with(self, text: str) -> None:
        """Write this first, now and in each file that is opened later, unless there is something in it already."""
        self._beginning = text
        if text and not (self._is_file and os.fstat(self._fd).st_size):
            self.write_text(text)

    @property
    def reader_gone(self) -> bool:
        """Whether it is certain that nobody reads what is written."""
        return not self._is_file and bool(self._end.poll(0))

    def write_lines(self, lines: list[str]) -> None:
        """Write events, each a text of its own: one line, or several.

        Raises:
            ReaderGoneError: nobody reads any more.
            OutputError: not all could be written; `written` and `unwritten` count the events.
        """
        try:
            self._write_all("".join(lines))
        except _StoppedError as stopped:
            ends = list(accumulate(map(len, lines)))
            whole = bisect_right(ends, stopped.done)
            self.written += whole
            self.unwritten += len(lines) - whole
            self._take_back(stopped.done - (ends[whole - 1] if whole else 0))
            raise self._explain(stopped.error) from stopped.error
        self.written += len(lines)

    def write_text(self, text: str) -> None:
        """Write what is no event: the frame around them, or a document.

        Raises:
            ReaderGoneError: nobody reads any more.
            OutputError: not all could be written.
        """
        try:
            self._write_all(text)
        except _StoppedError as stopped:
            raise self._explain(stopped.error) from stopped.error

    def _write_all(self, text: str) -> None:
        data = text.encode("ascii")
        done = 0
        try:
            while done < len(data):
                done += self._write(data, done)
        except OSError as error:
            raise _StoppedError(done, error) from error

    def _explain(self, error: OSError) -> OutputError:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            return ReaderGoneError(f"{self._name}: nobody reads it any more")
        return OutputError(
            f"cannot write {self._name}: {error.strerror}",
            hint="free some space, or choose another --output" if error.errno == errno.ENOSPC else "",
        )

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


def open_output(path: str, hurry: Callable[[], bool], *, document: bool = False) -> Output:
    """The output for ``--output``: stdout for "" and "-", else a file.

    Args:
        document: whether it is replaced as a whole; if not, it is appended to.

    Raises:
        OutputError: it cannot be opened, or must not be.
    """
    if path in ("", "-"):
        return Output(STDOUT, "stdout", hurry)
    try:
        if document:
            real = _replaceable(path)
            if real:
                return Output(_open_temporary(real), path, hurry, becomes=real)
        fd = _open(path, hurry)
    except OSError as error:
        raise OutputError(f"cannot open {path}: {error.strerror}") from error
    return Output(fd, path, hurry)


def _temporary(path: str) -> str:
    """Beside the file, so that renaming it is one step. The name has room for what is added."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{os.fsdecode(os.fsencode(name)[:200])}.{os.getpid()}.tmp")


def _open_temporary(path: str) -> int:
    fd = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(fd, stat.S_IMODE(os.stat(path).st_mode))
    except OSError:
        pass  # there is no such file yet, or its file system knows no modes
    return fd


def _replaceable(path: str) -> str:
    """The file that a document replaces, behind links; "" if it is a device or a pipe."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            _check_link(path)
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""
    except FileNotFoundError:
        pass  # it will be there
    return os.path.realpath(path)


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
