# SPDX-License-Identifier: MIT
"""Letters for grades and types of files: each has a colour and a letter, so that nobody needs to see the colour.

A badge sets both colours, of the letter and behind it: so it can be read on a light background and on a dark one. All
other text has the terminal's own colours.
"""

from __future__ import annotations

from typing import NamedTuple


class Badge(NamedTuple):
    """A letter on a colour."""

    letter: str
    style: str


RED, YELLOW, BLUE = "bold white on red", "black on yellow", "white on blue"
CYAN, GREEN, MAGENTA = "black on cyan", "black on green", "white on magenta"
PLAIN = "reverse"

# From the worst to the best.
GRADES = {
    "broken": Badge("B", RED),
    "weak": Badge("W", MAGENTA),
    "quantum-vulnerable": Badge("Q", YELLOW),
    "hybrid": Badge("H", CYAN),
    "pq-safe": Badge("S", GREEN),
}

FILE_TYPES = {
    "certificate": Badge("C", CYAN),
    "certificate_request": Badge("R", CYAN),
    "crl": Badge("L", CYAN),
    "pkcs7": Badge("7", CYAN),
    "public_key": Badge("U", GREEN),
    "private_key": Badge("P", RED),
    "ssh_private_key": Badge("H", RED),
    "key_log": Badge("G", RED),
    "keystore": Badge("K", MAGENTA),
    "keytab": Badge("B", MAGENTA),
    "openpgp": Badge("E", MAGENTA),
    "ssh_trust": Badge("T", BLUE),
    "config": Badge("F", BLUE),
    "parameters": Badge("D", BLUE),
    "other": Badge("O", PLAIN),
}

_ALL = {**GRADES, **FILE_TYPES}
NOTHING = Badge(" ", "")

# What a post-quantum key exchange is called in `post_quantum`.
POST_QUANTUM = frozenset(("hybrid", "pure"))


def badge(name: str | None) -> Badge:
    """The badge of a grade or of a type of file; a mark for one that is the user's own, nothing for none."""
    if not name:
        return NOTHING
    return _ALL.get(name, Badge("*", PLAIN))


def worse(one: str | None, other: str | None) -> str | None:
    """The worse of two grades."""
    order = list(GRADES)
    known = [grade for grade in (one, other) if grade in GRADES]
    return min(known, key=order.index, default=None)
