# SPDX-License-Identifier: MIT
"""The request to stop, which signals set and the loop looks at.

The handler does no work. It notes the signal, and gives SIGINT its default action back: a second
Ctrl-C ends the process at once, and the kernel frees all that it held.

SIGHUP asks a tracer that writes lines to a file to open it again, as those who rotate logs expect. To any other
it says that the terminal is gone.
"""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether to stop, and which signal asked for it.

    Attributes:
        signum: of the first signal that came, or 0.
        reopens: whether SIGHUP asks to open the output again.
        reopen: whether it did; whoever opens it again sets it back.
    """

    def __init__(self) -> None:
        self.signum = 0
        self.reopens = False
        self.reopen = False

    @property
    def requested(self) -> bool:
        """True from the first signal on."""
        return self.signum != 0

    @property
    def exit_code(self) -> int:
        """0, or 128 + the signal's number as shells have it."""
        return 128 + self.signum if self.signum else 0

    def listen(self) -> None:
        """Note SIGINT, SIGTERM and SIGHUP from now on. A signal that is ignored (as by nohup) stays ignored."""
        for signum in SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._handle)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGHUP and self.reopens:
            self.reopen = True
            return
        self.signum = self.signum or signum
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
