# SPDX-License-Identifier: MIT
"""Text from outside, made harmless for a terminal, and cut to a number of cells.

Names and arguments may hold anything. What is not a visible character that takes room of its own, from left to right,
is shown as an escape: control characters, bytes that are no UTF-8, marks that are drawn over the character before,
characters without a width, and those that make a terminal turn the order of a line around.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len

# No text that is shown is longer; the rest of it is cut before anything else is done.
LONGEST = 4096

# How many cells are kept as they are drawn, and how long their texts may be: a few screens full.
KEPT, KEPT_SIZE = 2048, 256

CUT = "…"

# Marks that join with the character before; letters that are read from right to left.
_MARKS = frozenset(("Mn", "Me", "Mc"))
_TURNED = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI", "PDF", "PDI"))


def _harmless(c: str) -> bool:
    if c.isascii():
        return c.isprintable()
    return (
        c.isprintable()
        and unicodedata.category(c) not in _MARKS
        and unicodedata.bidirectional(c) not in _TURNED
        and cell_len(c) > 0
    )


def clean(text: str) -> str:
    """The text with an escape in place of each character that could do more than to be seen."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + CUT
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _harmless(c) else ascii(c)[1:-1] for c in text)


def width_of(text: str) -> int:
    """How many cells a clean text takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, align: str = "left", keep: str = "start") -> str:
    """Text from outside as exactly so many cells.

    Args:
        align: ``left`` or ``right``.
        keep: which part stays if it is too long: ``start``, or ``end`` as for paths.
    """
    return _kept(text, width, align, keep) if len(text) <= KEPT_SIZE else _fit(text, width, align, keep)


def _fit(text: str, width: int, align: str, keep: str) -> str:
    text = clean(text)
    size = width_of(text)
    if size > width:
        text = _cut(text, width, keep)
        size = width_of(text)
    room = " " * (width - size)
    return room + text if align == "right" else text + room


_kept = lru_cache(maxsize=KEPT)(_fit)


def _cut(text: str, width: int, keep: str) -> str:
    if width < 1:
        return ""
    left = width - 1
    if text.isascii():
        return CUT + text[len(text) - left :] if keep == "end" else text[:left] + CUT
    taken: list[str] = []
    for c in reversed(text) if keep == "end" else text:
        left -= cell_len(c)
        if left < 0:
            break
        taken.append(c)
    return CUT + "".join(reversed(taken)) if keep == "end" else "".join(taken) + CUT


def wrap(text: str, width: int) -> list[str]:
    """Text from outside in lines of so many cells at most; at least one."""
    lines: list[str] = []
    line: list[str] = []
    size = 0
    for c in clean(text):
        cells = cell_len(c)
        if size + cells > width and line:
            lines.append("".join(line))
            line, size = [], 0
        line.append(c)
        size += cells
    return [*lines, "".join(line)]
