# SPDX-License-Identifier: MIT
"""What both sides have sent in the clear, and what it means: the same for TLS and DTLS."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.catalog.versions import is_old
from tracer.known import Known
from tracer.wire import hello as h
from tracer.wire.agreed import Agreed, describe
from tracer.wire.certificate import Certificate, read_certificate
from tracer.wire.exchange import Exchange, read_exchange
from tracer.wire.hello import Hello, read_client_hello, read_server_hello
from tracer.wire.reader import CutError, Reader, WireError

NEW_TICKET, CERTIFICATE, KEY_EXCHANGE, HELLO_DONE = 4, 11, 12, 14

MAX_MESSAGES = 64

# Most servers show the same certificate each time.
MAX_CERTIFICATES, LONGEST = 256, 1 << 12
_certificates = Known(read_certificate, MAX_CERTIFICATES, LONGEST)


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
        changed: whether it has said that the rest is encrypted, and nothing before that is missing.
    """

    messages: list[Message]
    ended: bool
    failed: bool
    changed: bool = False

    def first(self, kind: int) -> Message | None:
        """The first message of a kind."""
        return next((each for each in self.messages if each.kind == kind), None)


def split_messages(data: bytes) -> list[Message]:
    """The messages of a stream; the last one may be only a beginning."""
    found: list[Message] = []
    at = 0
    while at + 4 <= len(data) and len(found) < MAX_MESSAGES:
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        body = data[at + 4 : at + 4 + size]
        found.append(Message(data[at], body, len(body) < size))
        at += 4 + size
    return found


def conclude(client: Flight, server: Flight, transport: str = "t") -> tuple[dict[str, Any], bool]:
    """The fields of the event, and whether that is all there can be.

    Args:
        transport: as in `tracer.wire.fingerprints.ja4`.

    Raises:
        WireError: a hello is none.
    """
    dtls = transport == "d"
    answers = _hellos(server, h.SERVER_HELLO, dtls=dtls)
    offers = _hellos(client, h.CLIENT_HELLO, dtls=dtls)
    # The version stands behind all else: without it, a part of an answer would be taken for an older one's.
    answer = next((each for each in answers if not each.is_retry and not each.cut), None)
    failed = server.failed or client.failed
    retried = bool(answers) and answers[0].is_retry
    agreed = Agreed(offers[0] if offers else None, answer, retried=retried, failed=failed, transport=transport)
    whole = complete = bool(offers) and not offers[0].cut and (failed or answer is not None)
    if answer and is_old(h.chosen_version(answer)):
        rest = server.messages[_after(server, answers) :]
        agreed = agreed._replace(
            resumed=_resumed(rest, server),
            certificate=_certificate(server),
            exchange=_exchange(server, answer),
        )
        whole = whole and (server.ended or server.first(HELLO_DONE) is not None)
        # Until one side encrypts, the other may refuse what it was shown.
        complete = whole and (failed or server.ended or client.ended)
    return describe(agreed._replace(whole=whole)), complete


def _hellos(flight: Flight, kind: int, *, dtls: bool) -> list[Hello]:
    """The hellos of one side: one, or two if there was a HelloRetryRequest."""
    found: list[Hello] = []
    for message in flight.messages[:4]:
        if message.kind == kind:
            try:
                if kind == h.CLIENT_HELLO:
                    found.append(read_client_hello(message.body, cut=message.cut, dtls=dtls))
                else:
                    found.append(read_server_hello(message.body, cut=message.cut))
            except CutError:
                break
    return found


def _after(server: Flight, answers: list[Hello]) -> int:
    """Where the messages behind the ServerHello begin."""
    left = len(answers)
    for number, message in enumerate(server.messages):
        left -= message.kind == h.SERVER_HELLO
        if not left:
            return number + 1
    return len(server.messages)


def _resumed(rest: list[Message], server: Flight) -> bool | None:
    """Whether the keys are those of an earlier handshake: then nothing follows the hello but the end, and a ticket.

    None where the messages that decide it are missing. That the server says the client's session id again does not
    decide it: clients that offer TLS 1.3 make one up, and there are servers that say again whatever they hear.
    """
    if any(message.kind != NEW_TICKET for message in rest):
        return False
    return True if server.changed else None


def _certificate(server: Flight) -> Certificate | None:
    message = server.first(CERTIFICATE)
    if message is None:
        return None
    reader = Reader(message.body, cut=message.cut)
    try:
        reader.number(3)
        return _certificates[reader.vector(3)]
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
