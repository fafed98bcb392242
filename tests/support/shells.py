"""What the shells offer for a command line, with the completions of `share/`: each asks a real shell."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.gates import require_tool
from tests.support.sources import ROOT

BASH = ROOT / "share" / "bash-completion" / "completions" / "crypto-tracer"
FISH = ROOT / "share" / "fish" / "vendor_completions.d" / "crypto-tracer.fish"
ZSH = ROOT / "share" / "zsh" / "site-functions"

DEADLINE_S = 30.0

# Notes what is offered on its way to the line editor.
ZSH_SETUP = r"""
unsetopt beep
PS1=; PROMPT=; RPS1=
fpath=(%s $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
  local -a found
  builtin compadd -A found "$@"
  (( $#found )) && print -rl -- $found >> %s
  builtin compadd "$@"
}
zle-line-init() { print -r -- "ready" >> %s; }
zle -N zle-line-init
"""


def bash(words: Sequence[str]) -> list[str]:
    """What bash offers for the last word."""
    script = f"""
source {BASH}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
function_name=$(complete -p crypto-tracer | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function_name crypto-tracer '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run([require_tool("bash"), "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def fish(words: Sequence[str]) -> list[str]:
    """What fish offers for the last word; descriptions left out."""
    line = " ".join(words)
    script = f"source {FISH}; complete -C '{line}'"
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [require_tool("fish"), "--no-config", "-c", script],
            env={**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home},
            capture_output=True,
            text=True,
            check=True,
        )
    return [row.partition("\t")[0] for row in done.stdout.splitlines()]


class Zsh:
    """What zsh offers for the last word; one shell for all questions, for its start takes long.

    Its line editor wants a terminal.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._offered = Path(self._folder.name) / "offered"
        setup = Path(self._folder.name) / "setup"
        setup.write_text(ZSH_SETUP % (ZSH, self._offered, self._offered))
        program = require_tool("zsh")
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            os.chdir(self._folder.name)
            own = {"PATH": os.environ["PATH"], "HOME": self._folder.name, "TERM": "dumb"}
            os.execve(program, ["zsh", "-f", "-i"], own)
        os.write(self._terminal, f"source {setup}\n".encode())
        self._wait(lambda: self._offered.exists() and "ready\n" in self._offered.read_text())

    def __call__(self, words: Sequence[str]) -> list[str]:
        """Type the words, and the tabulator."""
        self._offered.write_text("")
        os.write(self._terminal, " ".join(words).encode() + b"\t")
        # The line that was completed is thrown away, and the next command says that this is over.
        os.write(self._terminal, b"\x15" + f"print -r -- over >> {self._offered}\n".encode())
        self._wait(lambda: self._offered.read_text().endswith("over\nready\n"))
        return self._offered.read_text().splitlines()[:-2]

    def close(self) -> None:
        """End it."""
        os.close(self._terminal)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._folder.cleanup()

    def _wait(self, done: Callable[[], bool]) -> None:
        """Takes what the shell prints meanwhile, or it would wait for somebody who does."""
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"zsh: not within {DEADLINE_S} s")
            if select.select([self._terminal], [], [], 0.02)[0]:
                os.read(self._terminal, 1 << 16)
