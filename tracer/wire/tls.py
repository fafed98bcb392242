# SPDX-License-Identifier: MIT
"""The plain part of a TLS connection over a stream: hellos, and up to TLS 1.2 the certificate and the key exchange.

Records: u8 type, u16 version, u16 length. The handshake is one stream of messages inside the records of type 22, up
to where encryption begins: at the ChangeCipherSpec, or in TLS 1.3 at the first record of application data. There a
ChangeCipherSpec means nothing, and after a HelloRetryRequest a second hello follows it.
"""

from __future__ import annotations

from typing import Any

from tracer.wire import hello as h
from tracer.wire.flight import Flight, conclude, split_messages
from tracer.wire.reader import WireError

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
FATAL = 2

HEAD = 5
# RFC 8446 allows 2^14 bytes in a plain record; one that has more is none.
LONGEST = 1 << 14
# So much of each direction is read: chains of certificates are long, and the key exchange comes after them.
MAX_BYTES = 1 << 16


def begins(data: bytes) -> bool:
    """Whether bytes begin like TLS, as far as they go."""
    head = data[:3]
    return (
        head[:1] in (b"", b"\x16", b"\x15")
        and head[1:2] in (b"", b"\x03")
        and (len(head) < 3 or head[2] <= 4)
        and (len(data) < HEAD or 0 < int.from_bytes(data[3:5], "big") <= LONGEST)
        and (len(data) < HEAD + 1 or data[0] == ALERT or data[5] in (h.CLIENT_HELLO, h.SERVER_HELLO))
    )


def read_flight(data: bytes, *, retried: bool = False) -> Flight:
    """The plain messages of one direction.

    Args:
        retried: whether the other side has sent a HelloRetryRequest.

    Raises:
        WireError: what stands where a record should begin is none.
    """
    parts: list[bytes] = []
    at, ended, failed, changed = 0, False, False, False
    data = data[:MAX_BYTES]
    while at + HEAD <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 3 : at + HEAD], "big")
        if kind == DATA:
            ended = True
            break
        if not CHANGE_CIPHER <= kind <= HANDSHAKE or data[at + 1] != 3 or not size or size > LONGEST:
            raise WireError(f"no record at {at}: {data[at : at + HEAD].hex()}")
        body = data[at + HEAD : at + HEAD + size]
        if kind == HANDSHAKE:
            parts.append(body)
        elif kind == ALERT:
            # Encrypted ones come behind the end; a warning changes nothing.
            if size == 2 and body[:1] == bytes((FATAL,)):
                failed = ended = True
                break
        elif not retried and not _is_retry(parts):
            ended = changed = True
            break
        at += HEAD + size
    return Flight(split_messages(b"".join(parts)), ended, failed, changed)


def _is_retry(parts: list[bytes]) -> bool:
    """Whether what a server has sent so far is a HelloRetryRequest and no more."""
    begin = b"".join(parts[:2])[:38]
    return begin[:1] == bytes((h.SERVER_HELLO,)) and begin[6:] == h.RETRY


def read_tls(sent: bytes, received: bytes) -> tuple[str, dict[str, Any], bool]:
    """Role of the side that has sent the first bytes, the fields of the event, and whether that is all there can be.

    The role is "" as long as nobody has said hello.

    Raises:
        WireError: it is no TLS.
    """
    role = _role(sent, received)
    to_server, to_client = (sent, received) if role == "client" else (received, sent)
    server = read_flight(to_client) if begins(to_client) else Flight([], ended=True, failed=True)
    client = read_flight(to_server, retried=_has_retry(server)) if begins(to_server) else Flight([], True, True)
    if not client.messages and not server.messages:
        return "", {}, False
    fields, whole = conclude(client, server)
    return role, fields, whole


def _has_retry(server: Flight) -> bool:
    return any(message.kind == h.SERVER_HELLO and message.body[2:34] == h.RETRY for message in server.messages[:1])


def _role(sent: bytes, received: bytes) -> str:
    """Who has sent the ClientHello; a server that is heard alone is a server."""
    for side, role in ((sent, "client"), (received, "server")):
        if side[:1] == bytes((HANDSHAKE,)) and side[5:6] == bytes((h.CLIENT_HELLO,)):
            return role
    return "server" if sent[5:6] == bytes((h.SERVER_HELLO,)) else "client"
