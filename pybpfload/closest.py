"""The name that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

__all__ = ["closest"]

# Comparing two names takes the product of their lengths, and files have as many names as they like.
MAX_LENGTH = 64
MAX_NAMES = 1000


def closest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The most similar of some names, or "" when none is similar; long names and those beyond 1000 do not count."""
    if len(name) > MAX_LENGTH:
        return ""
    from difflib import get_close_matches  # it takes a while, and few ask for it

    near = [x for x in names if len(name) <= 2 * len(x) + 2 <= 4 * len(name) + 6 and len(x) <= MAX_LENGTH]
    near.sort(key=lambda x: x[:2] != name[:2])
    found = get_close_matches(name, islice(dict.fromkeys(near), MAX_NAMES), 1, cutoff)
    return found[0] if found else ""
