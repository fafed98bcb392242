# SPDX-License-Identifier: MIT
"""The plain part of DTLS: RFC 6347 and RFC 9147.

Records: u8 type, u16 version, u16 epoch, u48 number, u16 length; what is encrypted has another epoch, or, from
DTLS 1.3 on, another head. Each message says its number, and each fragment of it its place: they may come in any
order, and twice. Before TLS 1.3 a server may first ask for the hello to be sent again, with a cookie: that is no
HelloRetryRequest, and the second hello has the same content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer.wire import hello as h
from tracer.wire.flight import MAX_MESSAGES, Flight, Message, conclude
from tracer.wire.reader import Reader, WireError

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
VERIFY = 3
FATAL = 2

RECORD_HEAD, MESSAGE_HEAD = 13, 12
# A message is at most so long; larger ones would be made up.
LONGEST = 1 << 16
MAX_DATAGRAMS, MAX_RECORDS, MAX_FRAGMENTS = 64, 64, 256


def begins(datagram: bytes) -> bool:
    """Whether a datagram begins with a hello of DTLS."""
    return (
        len(datagram) > RECORD_HEAD
        and datagram[0] == HANDSHAKE
        and datagram[1] == 0xFE
        and datagram[3:5] == b"\0\0"
        and datagram[RECORD_HEAD] in (h.CLIENT_HELLO, h.SERVER_HELLO, VERIFY)
    )


class _Pieces:
    """A message whose fragments are put together."""

    def __init__(self, kind: int, size: int) -> None:
        self.kind = kind
        self.size = size
        self.parts: dict[int, bytes] = {}

    def message(self) -> Message:
        """As far as it is there without a gap."""
        body = b""
        for at, part in sorted(self.parts.items()):
            if at > len(body):
                break
            body += part[len(body) - at :]
        return Message(self.kind, body[: self.size], len(body) < self.size)


def read_flight(datagrams: Sequence[bytes]) -> Flight:
    """The plain messages of one direction.

    Raises:
        WireError: a record or a fragment is none.
    """
    found: dict[int, _Pieces] = {}
    ended = failed = changed = False
    numbers: set[int] = set()  # of records: none is left out
    fragments = 0
    for datagram in datagrams[:MAX_DATAGRAMS]:
        reader = Reader(datagram)
        for _ in range(MAX_RECORDS):
            if len(datagram) - reader.at < RECORD_HEAD or ended:
                break
            kind, version, epoch = reader.number(1), reader.number(2), reader.number(2)
            if not CHANGE_CIPHER <= kind <= DATA or version >> 8 != 0xFE or epoch or kind in (CHANGE_CIPHER, DATA):
                ended = True
                if kind == CHANGE_CIPHER and not epoch and numbers:
                    number = reader.number(6)
                    changed = max(numbers) < number == min(numbers) + len(numbers)
                break
            numbers.add(reader.number(6))
            body = reader.vector(2)
            if kind == ALERT:
                failed = ended = body[:1] == bytes((FATAL,))
                continue
            inside = Reader(body)
            while inside and fragments < MAX_FRAGMENTS:
                fragments += 1
                _take(inside, found)
    ordered = [found[number].message() for number in sorted(found)]
    return Flight(ordered, ended, failed, changed)


def _take(reader: Reader, found: dict[int, _Pieces]) -> None:
    """One fragment."""
    kind, size, number = reader.number(1), reader.number(3), reader.number(2)
    at, body = reader.number(3), reader.vector(3)
    if size > LONGEST or at + len(body) > size:
        raise WireError(f"a fragment of {len(body)} bytes at {at} in a message of {size}")
    if number not in found and len(found) >= MAX_MESSAGES:
        return
    pieces = found.setdefault(number, _Pieces(kind, size))
    if (pieces.kind, pieces.size) == (kind, size) and len(body) >= len(pieces.parts.get(at, b"")):
        pieces.parts[at] = body


def _without_verify(flight: Flight) -> Flight:
    return flight._replace(messages=[message for message in flight.messages if message.kind != VERIFY])


def read_dtls(sent: Sequence[bytes], received: Sequence[bytes]) -> tuple[str, dict[str, Any], bool]:
    """Role of the side that has sent the first datagrams, the fields of the event, and whether that is all.

    Raises:
        WireError: it is no DTLS.
    """
    ours, theirs = read_flight(sent), read_flight(received)
    role = "server" if theirs.first(h.CLIENT_HELLO) or ours.first(h.SERVER_HELLO) else "client"
    client, server = (ours, theirs) if role == "client" else (theirs, ours)
    fields, whole = conclude(client, _without_verify(server), "d")
    return role, fields, whole
