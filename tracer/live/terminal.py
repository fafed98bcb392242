# SPDX-License-Identifier: MIT
"""The terminal: full screen while the table is there, and as it was before at any end but SIGKILL's.

What holds:

- We have an open file of our own for the terminal, which does not block. Others share the one behind stdout, so its
  flags are not ours to change.
- `enter` and `leave` belong together, and `leave` does nothing if there was no `enter`. Ctrl-Z and SIGTSTP leave, and
  SIGCONT enters again; so does SIGCONT alone, since somebody may have used SIGSTOP and changed the terminal.
- SIGINT, SIGTERM and SIGHUP are noted as always; the loop sees them and leaves. Once a signal is noted, the next Ctrl-C
  ends the process at once, as elsewhere, but leaves first. SIGQUIT leaves first, too.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import termios
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

# The other screen, without cursor, without going on in the next line at the end of one.
ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
# Ends what may have been begun; then the reverse.
LEAVE = b"\x18\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"

# How long leaving waits for a terminal that takes nothing; how often modes are set if signals come between.
LEAVE_S = 0.5
TRIES = 10

SMALLEST, LARGEST = (20, 4), (500, 200)
_NO_ATTRIBUTES: list[Any] = []


def usable(fd: int, term: str) -> bool:
    """Whether a descriptor is a terminal that can be drawn on."""
    return term not in ("", "dumb", "unknown") and os.isatty(fd)


class Terminal:
    """The terminal behind a descriptor.

    Attributes:
        active: whether it shows the table now.
        stale: whether what it shows is not known any more.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, fd: int) -> None:
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", flags)
        except OSError:
            self._fd = os.open("/dev/tty", flags)
        self._before = _NO_ATTRIBUTES
        self._handlers: dict[int, Any] = {}
        self._pending = b""
        self.active = False
        self.stale = True

    # Modes.

    def enter(self) -> None:
        """Take the screen, and keys one by one."""
        if not self._handlers:
            self._listen()
        if not self.active:
            self._before = termios.tcgetattr(self._fd)
        self._set_modes()

    def _set_modes(self) -> None:
        changed = [*self._before[:6], list(self._before[6])]
        changed[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR)
        changed[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        changed[3] |= termios.ISIG
        changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
        self.active = self.stale = True
        self._set(changed)
        self._pending = ENTER
        self.flush()

    def _set(self, attributes: list[Any]) -> None:
        for _ in range(TRIES):
            try:
                termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
            except termios.error as error:
                if error.args[0] != errno.EINTR:  # as by SIGCONT, after the terminal has stopped us
                    return  # it is gone
            else:
                return

    def leave(self) -> None:
        """Give all back. Can be called again, and by handlers of signals."""
        if self.active:
            self.active = False
            self._pending = LEAVE
            give_up_at = time.monotonic() + LEAVE_S
            while not self.flush() and time.monotonic() < give_up_at:
                select.select([], [self._fd], [], 0.05)
            self._set(self._before)

    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""
        return self._fd

    def close(self) -> None:
        """Leave, and give up signals and the descriptor. Can be called again."""
        self.leave()
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers = {}
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # Signals.

    def _listen(self) -> None:
        own = {
            signal.SIGINT: self._note,
            signal.SIGTERM: self._note,
            signal.SIGHUP: self._note,
            signal.SIGQUIT: self._quit,
            signal.SIGTSTP: self._stop,
            signal.SIGCONT: self._go_on,
        }
        for signum, handler in own.items():
            before = signal.getsignal(signum)
            if before is not signal.SIG_IGN:
                self._handlers[signum] = before
                signal.signal(signum, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """Note it as always. If the next Ctrl-C is to end the process now, then not before we have left."""
        before = self._handlers[signum]
        if not callable(before):
            self._quit(signum, frame)
            return
        before(signum, frame)
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            self._handlers[signal.SIGINT] = signal.SIG_DFL
            signal.signal(signal.SIGINT, self._quit)

    def _quit(self, signum: int, _frame: FrameType | None) -> None:
        self.leave()
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)

    def _stop(self, signum: int, _frame: FrameType | None) -> None:
        was_active = self.active
        self.leave()
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)  # it stands still here
        signal.signal(signum, self._stop)
        if was_active:
            self.enter()

    def _go_on(self, _signum: int, _frame: FrameType | None) -> None:
        if self.active:
            self._set_modes()

    # Bytes.

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            found = os.get_terminal_size(self._fd)
        except OSError:
            return SMALLEST
        columns, lines = (found.columns or 80), (found.lines or 24)
        return min(max(columns, SMALLEST[0]), LARGEST[0]), min(max(lines, SMALLEST[1]), LARGEST[1])

    def read(self) -> bytes:
        """What has been typed; nothing if nothing has."""
        if not self.active:
            return b""
        try:
            return os.read(self._fd, 1024)
        except OSError:
            return b""

    def wait(self, timeout_s: float) -> None:
        """Until a key is there, but not longer."""
        select.select([self._fd], [], [], max(timeout_s, 0.0))

    @property
    def busy(self) -> bool:
        """Whether there is something that it has not taken yet."""
        return bool(self._pending) and not self.flush()

    def write(self, data: bytes) -> None:
        """Bring a frame out, as fast as it takes it. Only when it is not busy."""
        if self.active:
            self._pending += data
            self.flush()

    def flush(self) -> bool:
        """Whether all is out now."""
        while self._pending:
            try:
                done = os.write(self._fd, self._pending)
            except BlockingIOError:
                return False
            except OSError:
                self._pending = b""  # it is gone, and SIGHUP will say so
                break
            self._pending = self._pending[done:]
        return True
