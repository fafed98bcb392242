"""A terminal that tests can look at: a tmux server of their own, with a shell in it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from tests.support.gates import require_tool
from tests.support.sources import ROOT
from tests.support.workloads import DEADLINE_S, wait_until

# What stands in front of each line of the shell, so that a test sees that a command has ended.
PROMPT = "prompt>"
# tmux decides by TERM what the program may use, so what the test itself runs in must not matter.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HISTFILE": "/dev/null",
}


class Screen:
    """A shell in a terminal of a certain size. As a context manager it ends with all that runs in it.

    Args:
        folder: for the socket of the server, and the test's files; the shell's own directory is the checkout.
    """

    def __init__(self, folder: Path, width: int = 100, height: int = 30, **environ: str) -> None:
        self._tmux = require_tool("tmux")
        self._socket = folder / "tmux"
        self._environ = {**ENVIRONMENT, **environ}
        inner = {"PS1": PROMPT, **environ}  # the shell that tmux uses to start this one keeps PS1 to itself
        shell = shlex.join(["env", *(f"{k}={v}" for k, v in inner.items()), "bash", "--norc", "--noprofile", "-i"])
        options = ["-x", str(width), "-y", str(height)]
        self._run("new-session", "-d", "-s", "test", *options, "-c", str(ROOT), shell)
        self._run("set-option", "-g", "status", "off")
        self._run("set-option", "-g", "escape-time", "0")
        self._run("resize-window", "-t", "test", *options)
        self.shows(PROMPT)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._run("kill-server", check=False)

    def _run(self, *arguments: str, check: bool = True) -> str:
        command = [self._tmux, "-f", "/dev/null", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, timeout=DEADLINE_S, check=check)
        return done.stdout.decode()

    def keys(self, *keys: str) -> None:
        """Press keys, by their names in tmux."""
        self._run("send-keys", "-t", "test", *keys)

    def type(self, text: str) -> None:
        """Type some text."""
        self._run("send-keys", "-t", "test", "-l", text)

    def run(self, command: str) -> None:
        """Type a command, with Enter."""
        self.type(command)
        self.keys("Enter")

    def resize(self, width: int, height: int) -> None:
        """The user pulls at the corner of the window."""
        self._run("resize-window", "-t", "test", "-x", str(width), "-y", str(height))

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return self._run("capture-pane", "-p", "-t", "test").split("\n")[:-1]

    @property
    def text(self) -> str:
        """The same in one."""
        return "\n".join(self.lines)

    @property
    def styled(self) -> str:
        """The same with colours."""
        return self._run("capture-pane", "-p", "-e", "-t", "test")

    @property
    def other_screen(self) -> bool:
        """Whether a program has taken the screen."""
        return self._run("display-message", "-p", "-t", "test", "#{alternate_on}").strip() == "1"

    @property
    def has_cursor(self) -> bool:
        """Whether the cursor can be seen."""
        return self._run("display-message", "-p", "-t", "test", "#{cursor_flag}").strip() == "1"

    def shows(self, text: str) -> list[str]:
        """Waits until it shows this; returns the lines."""
        try:
            return wait_until(lambda: (lines := self.lines) and text in "\n".join(lines) and lines, text)
        except TimeoutError:
            raise TimeoutError(f"the screen never showed {text!r}:\n{self.text}") from None

    def until(self, condition, what: str) -> list[str]:
        """Waits until a condition holds for its lines; returns them."""
        try:
            return wait_until(lambda: (lines := self.lines) and condition(lines) and lines, what)
        except TimeoutError:
            raise TimeoutError(f"{what}:\n{self.text}") from None
