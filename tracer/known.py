# SPDX-License-Identifier: MIT
"""Answers that are worked out once.

Most events look alike: the same few names, flags and paths come again and again. To look an answer up costs
a fraction of working it out, if the looking up runs in C: hence a dictionary, and not a function.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Known(dict[K, V]):
    """``known[key]`` is ``work(key)``.

    Args:
        limit: how many answers to keep. Processes choose the keys, and may be hostile: when it is full, all are
            forgotten.
        longest: keys that are longer are not kept; 0 for keys that have no length.
    """

    __slots__ = ("_limit", "_longest", "_work")

    def __init__(self, work: Callable[[K], V], limit: int = 4096, longest: int = 0) -> None:
        super().__init__()
        self._work, self._limit, self._longest = work, limit, longest

    def __missing__(self, key: Any) -> V:
        value = self._work(key)
        if not self._longest or len(key) <= self._longest:
            if len(self) >= self._limit:
                self.clear()
            self[key] = value
        return value
