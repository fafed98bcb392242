"""What a command is, and the texts that all of them share."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from pybpfload.errors import printable

__all__ = ["Command", "complain", "count", "fit", "shorten", "table", "terminal_width", "wrapped", "write_json"]

GAP = "  "
DEFAULT_WIDTH = 100
MIN_WIDTH = 60
MIN_COLUMN = 12
ELLIPSIS = "..."


class Command(NamedTuple):
    """A row of the registry.

    Attributes:
        configure: adds its arguments to its parser.
        run: does the work; writes to the stream, returns the exit code.
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, TextIO], int]


def complain(message: object) -> None:
    """One error on stderr."""
    lines = str(message).split("\n")
    sys.stderr.write("\n".join(["pybpfload: " + printable(lines[0]), *(printable(line) for line in lines[1:])]) + "\n")


def terminal_width() -> int:
    """Columns of the terminal or of $COLUMNS; 100 when there is neither."""
    return max(MIN_WIDTH, shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns)


def count(number: int, noun: str) -> str:
    """``1 map``, ``2 maps``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shorten(text: str, width: int) -> str:
    """The text with its middle left out, so that it is no longer than `width`."""
    if len(text) <= width:
        return text
    if width <= len(ELLIPSIS) + 2:
        return text[:width]
    tail = (width - len(ELLIPSIS)) // 2
    return text[: width - len(ELLIPSIS) - tail] + ELLIPSIS + text[len(text) - tail :]


def fit(widths: Sequence[int], room: int, give_way: Iterable[int]) -> list[int]:
    """Widths of columns that together take no more than `room`, as far as those that give way can see to it."""
    fitted, columns = list(widths), [i for i in give_way if widths[i] > MIN_COLUMN]
    while columns and sum(fitted) > room:
        widest = max(columns, key=fitted.__getitem__)
        if fitted[widest] <= MIN_COLUMN:
            break
        fitted[widest] -= 1
    return fitted


def table(rows: Sequence[Sequence[str]], *, width: int, indent: str = "", right: Iterable[int] = ()) -> list[str]:
    """Rows with their columns aligned.

    Args:
        width: of a line; the widest texts are shortened until they fit.
        right: the columns that are aligned at their right.
    """
    if not rows:
        return []
    numbers = frozenset(right)
    widths = [max(map(len, column)) for column in zip(*rows)]
    room = width - len(indent) - len(GAP) * (len(widths) - 1)
    widths = fit(widths, room, (i for i in range(len(widths)) if i not in numbers))
    lines = []
    for row in rows:
        cells = [shorten(cell, w) for cell, w in zip(row, widths)]
        cells = [c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        lines.append((indent + GAP.join(cells)).rstrip())
    return lines


def wrapped(lead: str, words: Iterable[str], width: int) -> list[str]:
    """``lead a, b, c`` in lines of a width, the later ones indented as far as the first word."""
    text = ", ".join(words)
    pad = " " * len(lead)
    return textwrap.wrap(
        text, max(width, len(lead) + MIN_COLUMN), initial_indent=lead, subsequent_indent=pad,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def write_json(out: TextIO, document: Any) -> None:
    """One document; names keep all their characters, as escapes where they are not ASCII."""
    json.dump(document, out, indent=2)
    out.write("\n")
