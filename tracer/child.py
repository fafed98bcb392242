# SPDX-License-Identifier: MIT
"""A command that is started under the tracer's eyes.

The process is made first, and waits: so its id is known to the kernel's filters before it runs a single instruction
of the command. If the tracer goes before it lets the process go on, that ends without having done anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tracer.errors import TracerError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

# What Python changes and a command expects as it was.
DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)

# As shells have it.
NOT_FOUND, NOT_EXECUTABLE = 127, 126


class CommandError(TracerError):
    """The command cannot be run."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Child:
    """A process that waits until it may run the command.

    Attributes:
        pid: its id.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._go_read, self._go_write = os.pipe()
        self._said_read, self._said_write = os.pipe()
        ignored = {number for number in DEFAULTS if signal.getsignal(number) is signal.SIG_IGN}
        self._status: int | None = None
        self.pid = os.fork()
        if not self.pid:
            self._run(ignored - {signal.SIGPIPE, signal.SIGXFSZ})
        os.close(self._go_read)
        os.close(self._said_write)

    def _run(self, ignored: set[signal.Signals]) -> None:
        """In the new process: wait, then become the command."""
        try:
            os.close(self._go_write)
            for number in DEFAULTS:
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            if os.read(self._go_read, 1):
                os.execvp(self._command[0], self._command)
        except OSError as error:
            os.write(self._said_write, b"%d" % (error.errno or 0))
        except ValueError:  # a NUL in an argument
            os.write(self._said_write, b"22")
        finally:
            os._exit(NOT_FOUND)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._go_write >= 0:  # it never ran: the end of the pipe tells it so
            self._close_go()
            self.wait()
        os.close(self._said_read)

    def _close_go(self) -> None:
        fd, self._go_write = self._go_write, -1
        os.close(fd)

    def release(self) -> None:
        """Let it run the command.

        Raises:
            CommandError: there is no such command, or it cannot be run.
        """
        os.write(self._go_write, b"x")
        self._close_go()
        said = os.read(self._said_read, 16)
        if said:
            self.wait()
            number = int(said)
            code = NOT_FOUND if number == 2 else NOT_EXECUTABLE
            raise CommandError(f"cannot run {self._command[0]}: {os.strerror(number)}", code)

    def wait(self) -> int:
        """Wait for its end; returns the status as shells have it: 128 + N after signal N."""
        if self._status is None:
            self._status = os.waitpid(self.pid, 0)[1]
        if os.WIFSIGNALED(self._status):
            return 128 + os.WTERMSIG(self._status)
        return os.WEXITSTATUS(self._status)

    def forward_signals(self, has_terminal: Callable[[], bool]) -> None:
        """The command decides what signals mean: its end is the end of the run.

        A terminal sends SIGINT to both, so it is not sent on there.
        """

        def forward(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGINT and has_terminal():
                return
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, forward)
