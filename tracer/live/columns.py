# SPDX-License-Identifier: MIT
"""Which columns of a view a screen has room for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.live.views import Column


@lru_cache(maxsize=64)
def layout(columns: tuple[Column, ...], width: int) -> tuple[tuple[Column, int], ...]:
    """The columns that there is room for, with one cell between them, and the width of each."""
    left: list[Column] = list(columns)

    def needed(some: Iterable[Column]) -> int:
        return sum(column.width + 1 for column in some) - 1

    while needed(left) > width and len(left) > 1:
        # Of those with the highest rank the last one; at the end those go that should always be there.
        highest = max(column.rank for column in left)
        left.reverse()
        left.remove(next(column for column in left if column.rank == highest))
        left.reverse()
    spare = max(0, width - needed(left))
    shares = sum(column.share for column in left)
    widths = [min(column.width, width) for column in left]
    if shares:
        for number, column in enumerate(left):
            widths[number] += spare * column.share // shares
        last = max(number for number, column in enumerate(left) if column.share)
        widths[last] += width - needed(left) - sum(w - c.width for w, c in zip(widths, left)) if spare else 0
    return tuple(zip(left, widths))
