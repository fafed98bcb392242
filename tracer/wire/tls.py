# SPDX-License-Identifier: MIT
"""The plain part of a TLS connection over a stream: hellos, and up to TLS 1.2 the certificate and the key exchange.

Records: u8 type, u16 version, u16 length. The handshake is one stream of messages inside the records of type 22, up
to where encryption begins: at the ChangeCipherSpec, or in TLS 1.3 at the first record of application data. There a
ChangeCipherSpec means nothing, and after a HelloRetryRequest a second hello follows it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.wire import hello as h
from tracer.wire.agreed import Agreed, describe
from tracer.wire.certificate import Certificate, read_certificate
from tracer.wire.exchange import Exchange, read_exchange
from tracer.wire.hello import Hello, read_client_hello, read_server_hello
from tracer.wire.reader import CutError, Reader, WireError

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
NEW_TICKET, CERTIFICATE, KEY_EXCHANGE, HELLO_DONE = 4, 11, 12, 14
FATAL = 2

HEAD = 5
# RFC 8446 allows 2^14 bytes in a plain record; one that has more is none.
LONGEST = 1 << 14
# So much of each direction is read: chains of certificates are long, and the key exchange comes after them.
MAX_BYTES = 1 << 16
MAX_MESSAGES = 64


class Message(NamedTuple):
    """A message of the handshake.

    Attributes:
        cut: whether `body` is only its beginning.
    """

    kind: int
    body: bytes
    cut: bool


class Flight(NamedTuple):
    """What one side has sent in the clear.

    Attributes:
        ended: whether the rest is encrypted.
        failed: whether it has given up.
    """

    messages: list[Message]
    ended: bool
    failed: bool

    def first(self, kind: int) -> Message | None:
        """The first message of a kind."""
        return next((each for each in self.messages if each.kind == kind), None)


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
    at, ended, failed = 0, False, False
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
            ended = True
            break
        at += HEAD + size
    return Flight(list(_messages(b"".join(parts))), ended, failed)


def _is_retry(parts: list[bytes]) -> bool:
    """Whether what a server has sent so far is a HelloRetryRequest and no more."""
    begin = b"".join(parts[:2])[:38]
    return begin[:1] == bytes((h.SERVER_HELLO,)) and begin[6:] == h.RETRY


def _messages(data: bytes) -> list[Message]:
    found: list[Message] = []
    at = 0
    while at + 4 <= len(data) and len(found) < MAX_MESSAGES:
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        body = data[at + 4 : at + 4 + size]
        found.append(Message(data[at], body, len(body) < size))
        at += 4 + size
    return found


def _hellos(flight: Flight, kind: int) -> list[Hello]:
    """The hellos of one side: one, or two if there was a HelloRetryRequest."""
    read = read_client_hello if kind == h.CLIENT_HELLO else read_server_hello
    found = []
    for message in flight.messages[:3]:
        if message.kind == kind:
            try:
                found.append(read(message.body, cut=message.cut))
            except CutError:
                break
    return found


def read_tls(sent: bytes, received: bytes) -> tuple[str, dict[str, Any], bool]:
    """Role of the side that has sent the first bytes, the fields of the event, and whether that is all there can be.

    Raises:
        WireError: it is no TLS.
    """
    role = _role(sent, received)
    to_server, to_client = (sent, received) if role == "client" else (received, sent)
    server = read_flight(to_client) if begins(to_client) else Flight([], bool(to_client), bool(to_client))
    answers = _hellos(server, h.SERVER_HELLO)
    retried = bool(answers) and answers[0].is_retry
    client = read_flight(to_server, retried=retried)
    offers = _hellos(client, h.CLIENT_HELLO)
    answer = next((each for each in answers if not each.is_retry), None)
    failed = server.failed or client.failed
    agreed = Agreed(offers[0] if offers else None, answer, retried=retried, failed=failed)
    whole = bool(offers) and not offers[0].cut and (failed or (answer is not None and not answer.cut))
    if answer and h.chosen_version(answer) <= 0x0303:
        rest = server.messages[_after(server, answers) :]
        agreed.resumed = _resumed(rest, server, answer, offers)
        agreed.certificate = _certificate(server)
        agreed.exchange = _exchange(server, answer)
        done = server.ended or server.first(HELLO_DONE) is not None
        whole = whole and done
    return role, describe(agreed, whole=whole), whole


def _role(sent: bytes, received: bytes) -> str:
    """Who has sent the ClientHello; a server that is heard alone is a server."""
    for side, role in ((sent, "client"), (received, "server")):
        if side[:1] == bytes((HANDSHAKE,)) and side[5:6] == bytes((h.CLIENT_HELLO,)):
            return role
    return "server" if sent[5:6] == bytes((h.SERVER_HELLO,)) else "client"


def _after(server: Flight, answers: list[Hello]) -> int:
    """Where the messages behind the ServerHello begin."""
    left = len(answers)
    for number, message in enumerate(server.messages):
        left -= message.kind == h.SERVER_HELLO
        if not left:
            return number + 1
    return len(server.messages)


def _resumed(rest: list[Message], server: Flight, answer: Hello, offers: list[Hello]) -> bool | None:
    """Whether the keys are those of an earlier handshake: then no certificate follows, only the end.

    None where the messages that decide it are missing.
    """
    others = [message for message in rest if message.kind != NEW_TICKET]
    if others:
        return False
    if server.ended and not server.failed:
        return True
    if offers and answer.session and answer.session == offers[0].session:
        return True
    return None


def _certificate(server: Flight) -> Certificate | None:
    message = server.first(CERTIFICATE)
    if message is None:
        return None
    reader = Reader(message.body, cut=message.cut)
    try:
        reader.number(3)
        return read_certificate(reader.vector(3))
    except WireError:
        return None


def _exchange(server: Flight, answer: Hello) -> Exchange | None:
    message = server.first(KEY_EXCHANGE)
    if message is None:
        return None
    try:
        return read_exchange(message.body, answer.suites[0], answer.version, cut=message.cut)
    except WireError:
        return None
