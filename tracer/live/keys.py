# SPDX-License-Identifier: MIT
"""From what a terminal sends to names of keys.

A key is one character, or a name: ``up``, ``page-down``, ``enter``, ``escape``, ``f6``. What is no key that we know is
nothing. An escape character alone is the key only after a while without anything behind it: it begins most others.
"""

from __future__ import annotations

import codecs

# How long an escape character waits for the rest of a sequence, and how long that may be.
ESCAPE_S = 0.05
LONGEST = 16

_CSI = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "back-tab",
    "1~": "home", "7~": "home", "4~": "end", "8~": "end", "5~": "page-up", "6~": "page-down", "3~": "delete",
    "11~": "f1", "12~": "f2", "13~": "f3", "14~": "f4", "15~": "f5", "17~": "f6", "18~": "f7", "19~": "f8",
    "20~": "f9", "21~": "f10", "[A": "f1", "[B": "f2", "[C": "f3", "[D": "f4", "[E": "f5",
}  # fmt: skip
_SS3 = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "M": "enter",
    "P": "f1", "Q": "f2", "R": "f3", "S": "f4",
}  # fmt: skip
_CONTROLS = {
    "\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x0c": "redraw",
    "\x15": "clear", "\x17": "clear-word", "\x02": "page-up", "\x06": "page-down", "\x01": "home", "\x05": "end",
    "\x0e": "down", "\x10": "up", "\x1a": "suspend",
}  # fmt: skip


class Keys:
    """Takes bytes as they come, and gives keys."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
        self._begun = ""
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> list[str]:
        """The keys that are complete. To be called without data, too: time alone may complete one."""
        keys: list[str] = []
        if not data:
            if self._begun and now - self._since >= ESCAPE_S:
                keys = ["escape"] if self._begun == "\x1b" else []
                self._begun = ""
            return keys
        self._since = now
        for c in self._decode(data):
            self._character(c, keys)
        return keys

    def _character(self, c: str, keys: list[str]) -> None:
        if not self._begun:
            if c == "\x1b":
                self._begun = c
            elif c in _CONTROLS:
                keys.append(_CONTROLS[c])
            elif c.isprintable():
                keys.append(c)
            return
        if c == "\x1b":  # the one before was a key of its own, or a sequence that nobody knows
            if self._begun == c:
                keys.append("escape")
            self._begun = c
            return
        if self._begun == "\x1b":
            if c in "[O":
                self._begun += c
            else:  # with Alt: as without
                self._begun = ""
                self._character(c, keys)
            return
        table = _CSI if self._begun[1] == "[" else _SS3
        self._begun += c
        if len(self._begun) > LONGEST:
            self._begun = ""
        elif "@" <= c <= "~" and self._begun[2:] != "[":
            # Shift, Alt and Control stand behind a semicolon: 1;5A. The key is what counts.
            body, _, _ = self._begun[2:-1].partition(";")
            name = table.get(body + c) or (table.get(c) if body in ("", "1") else None)
            if name:
                keys.append(name)
            self._begun = ""
