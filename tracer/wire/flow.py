# SPDX-License-Identifier: MIT
"""A connection, as far as it was seen: what each of its ends has sent."""

from __future__ import annotations

from typing import Any

# Bytes and pieces that one direction may have.
MAX_WAY_BYTES = 32 << 10
MAX_PIECES = 64

MAYBE, CERTAINLY = 1, 2

Fields = dict[str, Any]
End = tuple[bytes, int]  # address and port
Name = tuple[Any, ...]


class Way:
    """What one end has sent.

    Attributes:
        base: tells streams of the same addresses apart.
        ends: of its socket, if that is on this host: family, its own address and port, and those of its peer.
        whole: what is there without a gap, from the first byte on.
        parts: what came behind a gap, by its place; of datagrams, all that came.
        owner: of the end: the fields of its process, or None.
        connected: whether the end is the one that connected to the other.
        wanted: whether the user asked for this process: 0, MAYBE or CERTAINLY.
    """

    __slots__ = ("base", "connected", "ends", "owner", "parts", "wanted", "whole")

    def __init__(self) -> None:
        self.base: int | None = None
        self.ends: tuple[int, End, End] | None = None
        self.whole = bytearray()
        self.parts: dict[int, bytes] = {}
        self.owner: Fields | None = None
        self.connected = False
        self.wanted = 0

    def add(self, offset: int, data: bytes) -> bool:
        """Take in a piece of a stream; returns whether there is more without a gap now."""
        whole, parts = self.whole, self.parts
        if offset > len(whole):
            if len(parts) < MAX_PIECES and offset < MAX_WAY_BYTES and len(data) > len(parts.get(offset, b"")):
                parts[offset] = data
            return False
        before = len(whole)
        whole += data[before - offset : MAX_WAY_BYTES - offset]
        for place in sorted(parts):
            if place > len(whole):
                break
            whole += parts.pop(place)[len(whole) - place :]
        return len(whole) > before

    def add_datagram(self, number: int, data: bytes) -> bool:
        """Take in a datagram; returns whether it is new."""
        if number in self.parts or len(self.parts) >= MAX_PIECES:
            return False
        self.parts[number] = data
        return True

    def agrees(self, offset: int, data: bytes) -> bool:
        """Whether a piece of a stream says nothing else than what is there."""
        return data.startswith(bytes(self.whole[offset : offset + len(data)]))

    @property
    def datagrams(self) -> list[bytes]:
        """In the order in which they were sent."""
        return [data for _, data in sorted(self.parts.items())]

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.whole) + (sum(map(len, self.parts.values())) if self.parts else 0)

    @property
    def began(self) -> bool:
        """Whether there is something to read."""
        return bool(self.whole or self.parts)


class Flow:
    """A connection: what both ends have sent.

    Attributes:
        names: under which it is found.
        ways: what each end has sent.
        here: the ends that are on this host.
        first: the end that spoke first.
        told: whether nothing more is to be said of it.
        size: bytes that it holds.
        protocol: the same for all pieces.
        time, wall_ns: those of the last piece.
    """

    __slots__ = ("first", "here", "names", "protocol", "size", "time", "told", "wall_ns", "ways")

    def __init__(self, first: int, record: Fields) -> None:
        self.names: list[Name] = []
        self.first = first
        self.ways = (Way(), Way())
        self.here: set[int] = set()
        self.told = False
        self.size = 0
        self.protocol: int = record["protocol"]
        self.time: int = record["time"]
        self.wall_ns: int = record["wall_ns"]

    def forget(self) -> None:
        """Keep no more than that there was something."""
        for way in self.ways:
            way.whole, way.parts = bytearray(), {}
        self.told = True
