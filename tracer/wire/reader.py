# SPDX-License-Identifier: MIT
"""Reads numbers and vectors out of bytes that somebody else made up.

Every length is checked against what is there. Bytes may be only the beginning of a message: what lies behind their
end is then `CutError`, and whoever reads says so; in a message that is whole it is a lie, and `WireError`.
"""

from __future__ import annotations

import struct

from tracer.errors import TracerError


class WireError(TracerError):
    """Bytes that begin like a protocol and do not go on like it."""


class CutError(WireError):
    """What is missing may still come, or was not captured."""


class Reader:
    """A place in bytes, which moves on with what is read.

    Args:
        data: all there is.
        cut: whether it is only a beginning.
    """

    __slots__ = ("at", "cut", "data")

    def __init__(self, data: bytes, *, cut: bool = False) -> None:
        self.data = data
        self.at = 0
        self.cut = cut

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def take(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            WireError: there are fewer.
        """
        end = self.at + size
        if end > len(self.data):
            kind = CutError if self.cut else WireError
            raise kind(f"{size} bytes at {self.at} of {len(self.data)}")
        found = self.data[self.at : end]
        self.at = end
        return found

    def number(self, size: int) -> int:
        """An integer of so many bytes, the high ones first."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """What stands behind a length of so many bytes."""
        return self.take(self.number(size))

    def part(self, size: int) -> Reader:
        """The same, to be read; of a message that is cut, as much as there is."""
        length = self.number(size)
        left = len(self.data) - self.at
        if length > left and self.cut:
            return Reader(self.take(left), cut=True)
        return Reader(self.take(length))


def numbers(data: bytes) -> tuple[int, ...]:
    """Integers of two bytes without a gap; a byte at the end that makes no whole one is left out."""
    return struct.unpack_from(f">{len(data) // 2}H", data)


def text(data: bytes) -> str:
    """Text of any bytes; those that are no UTF-8 become lone surrogates, as in names of files."""
    return data.decode("utf-8", "surrogateescape")
