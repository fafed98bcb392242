"""Runs the code of a page of documentation as it stands there: ``python -m tests.support.pages docs/maps.md``.

- Python blocks run one after the other, and share their names. A block without a language right behind one is
  what it prints.
- With ``--shell``, C blocks that begin with ``/* NAME`` are written into that file, and in console blocks the lines
  that begin with ``$`` run, with their output below.
- ``<!-- needs: NAME -->`` above a block: only where the kernel has that feature. ``<!-- not run -->``: never.

In an output ``...`` stands for anything, and a number of three digits or more for any number.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from pybpfload.features import has

FENCE = re.compile(r"^(?:<!-- (not run|needs: [\w: ]+) -->\n+)?```([\w-]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
SETUP = ("apt-get ", "pip ", "python3 -m venv ", "git clone ")  # commands that are only shown


class Block(NamedTuple):
    """One block: where it begins, what it is, and the text of an output right behind it."""

    line: int
    mark: str
    language: str
    text: str
    output: str | None


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    found: list[Block] = []
    end = -1
    for match in FENCE.finditer(page):
        mark, language, text = match[1] or "", match[2], match[3]
        if not language and found and found[-1].language == "python" and not page[end : match.start()].strip():
            found[-1] = found[-1]._replace(output=text)
        else:
            line = page.count("\n", 0, match.start(3)) + 1
            found.append(Block(line, mark, language, text, None))
        end = match.end()
    return found


def fits(expected: str, actual: str) -> bool:
    """Whether an output is the one that the page shows."""
    pattern = re.escape(expected.strip()).replace(r"\.\.\.", "(?:.*?)")
    pattern = re.sub(r"[0-9](?:[0-9]|,[0-9]){2,}", r"[\\d,]+", pattern)
    lines = [line.rstrip() for line in actual.strip().splitlines()]
    return re.fullmatch(pattern, "\n".join(lines), re.DOTALL) is not None


def run(path: Path, *, shell: bool = False) -> list[str]:
    """What is wrong with a page."""
    names: dict[str, object] = {"__name__": "__main__"}
    problems: list[str] = []

    def check(line: int, expected: str, actual: str) -> None:
        if not fits(expected, actual):
            problems.append(f"{path}:{line}: the page shows\n{expected}\nbut it is\n{actual}")

    for block in blocks(path.read_text()):
        kind, _, features = block.mark.partition(": ")
        if kind == "not run" or not all(map(has, features.split())):
            continue
        if block.language == "python":
            written = io.StringIO()
            with contextlib.redirect_stdout(written):
                # Lines keep their numbers in tracebacks.
                exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), names)
            if block.output is not None:
                check(block.line, block.output, written.getvalue())
        elif block.language == "c" and shell:
            name = re.match(r"/\* (\S+\.bpf\.c)", block.text)
            if name:
                Path(name[1]).write_text(block.text)
        elif block.language == "console" and shell:
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
                if not command.startswith(SETUP):
                    shown = subprocess.run(["bash", "-c", f"exec 2>&1; {command}"], stdout=-1, text=True, check=False)
                    check(block.line, expected, shown.stdout)
    return problems


def main() -> int:
    """Exit code 1 if something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("--shell", action="store_true")
    options = parser.parse_args()
    problems = run(options.page, shell=options.shell)
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
