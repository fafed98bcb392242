# SPDX-License-Identifier: MIT
"""The first packets of QUIC, versions 1 and 2: RFC 9000, 9001, 9369.

Their keys are made of a number that stands in the first packet, so that everybody can read them: they protect from
accidents only. Inside are the ClientHello and the ServerHello of TLS 1.3. What comes after has real keys, and is left
alone. Of a version that is not known nothing can be read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from tracer.wire import aes
from tracer.wire import hello as h
from tracer.wire.flight import Flight, conclude, split_messages
from tracer.wire.reader import Reader, WireError


class Version(NamedTuple):
    """What differs between versions."""

    name: str
    salt: bytes
    label: str
    initial: int
    retry: int


VERSIONS = {
    1: Version("QUIC v1", bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), "quic", 0, 3),
    0x6B3343CF: Version("QUIC v2", bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), "quicv2", 1, 0),
}

LONG, FIXED, RESERVED = 0x80, 0x40, 0x0C
SAMPLE, TAG, MAX_ID = 16, 16, 20
PADDING, PING, ACK, ACK_ECN, CRYPTO, CLOSE = 0, 1, 2, 3, 6, 0x1C

# Of each direction. A hello with a post-quantum key share takes two datagrams, and packets may be sent again.
MAX_PACKETS, MAX_FRAMES, MAX_HELLO = 4, 256, 1 << 14
LARGEST = 2048  # a datagram, of which an Ethernet takes 1500


class Packet(NamedTuple):
    """An Initial packet, still protected.

    Attributes:
        data: the packet alone, up to the end of its payload.
        at: where the packet number stands.
        destination: the id that it is sent to.
    """

    version: Version
    data: bytes
    at: int
    destination: bytes


def begins(datagram: bytes) -> bool:
    """Whether a datagram begins with a long header of a version that is known."""
    return (
        len(datagram) > 7
        and datagram[0] & (LONG | FIXED) == LONG | FIXED
        and int.from_bytes(datagram[1:5], "big") in VERSIONS
        and datagram[5] <= MAX_ID
    )


def _packets(datagrams: Sequence[bytes]) -> Iterator[Packet]:
    """The Initial packets of one direction."""
    for datagram in datagrams[: 4 * MAX_PACKETS]:
        reader = Reader(datagram[:LARGEST])
        while reader and begins(reader.data[reader.at :]):
            begin = reader.at
            kind = reader.number(1) >> 4 & 3
            version = VERSIONS[reader.number(4)]
            destination = reader.vector(1)
            reader.vector(1)
            if kind == version.retry:
                break
            if kind == version.initial:
                reader.take(_variable(reader))  # a token
            size = _variable(reader)
            at = reader.at - begin
            reader.take(size)
            if kind == version.initial:
                yield Packet(version, reader.data[begin : reader.at], at, destination)


def _variable(reader: Reader) -> int:
    """An integer whose first two bits say how long it is."""
    first = reader.number(1)
    rest = (1 << (first >> 6)) - 1
    return (first & 0x3F) << 8 * rest | reader.number(rest)


class Keys:
    """What protects the packets of one side.

    Args:
        secret: of the connection.
        side: ``client`` or ``server``.
    """

    def __init__(self, version: Version, secret: bytes, side: str) -> None:
        own = _expand(secret, f"{side} in", 32)
        self._keys = aes.expand(_expand(own, f"{version.label} key", 16))
        self._nonce = int.from_bytes(_expand(own, f"{version.label} iv", 12), "big")
        self._head = aes.expand(_expand(own, f"{version.label} hp", 16))

    def open(self, packet: Packet) -> bytes | None:
        """The frames of a packet; None if these are not its keys."""
        data, at = packet.data, packet.at
        sample = data[at + 4 : at + 4 + SAMPLE]
        if len(sample) < SAMPLE:
            return None
        mask = aes.encrypt(self._head, sample)
        first = data[0] ^ mask[0] & 0x0F
        if first & RESERVED:
            return None
        size = (first & 3) + 1
        number = int.from_bytes(data[at : at + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
        nonce = (self._nonce ^ number).to_bytes(12, "big")
        return aes.counter_mode(self._keys, nonce, data[at + size : -TAG])


def secret(version: Version, destination: bytes) -> bytes:
    """The secret of a connection, by the id that its client's first packet is sent to."""
    return hmac.new(version.salt, destination, hashlib.sha256).digest()


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label of TLS 1.3 with no context: RFC 8446, 7.1."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha256).digest()[:size]


def _crypto(frames: bytes) -> list[tuple[int, bytes]]:
    """Places and contents of the CRYPTO frames.

    Raises:
        WireError: there are other frames than an Initial packet may have: RFC 9000, 12.4.
    """
    found: list[tuple[int, bytes]] = []
    reader = Reader(frames)
    for _ in range(MAX_FRAMES):
        while reader.data[reader.at : reader.at + 1] == b"\0":
            reader.at = len(frames) - len(frames[reader.at :].lstrip(b"\0"))
        if not reader:
            break
        kind = _variable(reader)
        if kind == CRYPTO:
            at = _variable(reader)
            found.append((at, reader.take(_variable(reader))))
        elif kind in (ACK, ACK_ECN):
            _variable(reader), _variable(reader)
            ranges = _variable(reader)
            for _ in range(min(2 * ranges + 1 + 3 * (kind == ACK_ECN), MAX_FRAMES)):
                _variable(reader)
        elif kind == CLOSE:
            break
        elif kind != PING:
            raise WireError(f"frame {kind} in an Initial packet")
    return found


def _joined(parts: list[tuple[int, bytes]]) -> bytes:
    """The stream up to the first gap."""
    stream = b""
    for at, part in sorted(parts):
        if at > len(stream):
            break
        stream += part[len(stream) - at :]
    return stream[:MAX_HELLO]


def _stream(packets: Sequence[Packet], ids: Sequence[bytes], side: str) -> bytes:
    """What one side says in its first packets.

    Args:
        ids: those that may have made the keys.
    """
    parts: list[tuple[int, bytes]] = []
    known: dict[tuple[Version, bytes], Keys] = {}
    for packet in packets:
        # The server may go on in another version: RFC 9368. Its keys are made of the same id.
        for key in ((packet.version, destination) for destination in ids):
            if key not in known:
                known[key] = Keys(packet.version, secret(*key), side)
            frames = known[key].open(packet)
            if frames is None:
                continue
            try:
                parts += _crypto(frames)
                break
            except WireError:
                continue
        if not parts:
            break  # who does not begin with a hello says none
    return _joined(parts)


def read_quic(sent: Sequence[bytes], received: Sequence[bytes]) -> tuple[str, dict[str, Any], bool]:
    """Role of the side that has sent the first datagrams, the fields of the event, and whether that is all.

    Raises:
        WireError: it is no QUIC, or nothing in it can be read.
    """
    ours, theirs = (list(islice(_packets(side), MAX_PACKETS)) for side in (sent, received))
    for role, client, server in (("client", ours, theirs), ("server", theirs, ours)):
        # After a Retry, the client's packets go to another id, and that makes the keys.
        ids = list(dict.fromkeys(packet.destination for packet in client))[:2]
        asked = _stream(client, ids, "client")
        if asked[:1] != bytes((h.CLIENT_HELLO,)):
            continue
        said = _stream(server, ids, "server")
        # Nothing but hellos is in these packets; alerts of QUIC are frames.
        client_flight, server_flight = (
            Flight(split_messages(each), ended=False, failed=False) for each in (asked, said)
        )
        fields, whole = conclude(client_flight, server_flight, "q")
        fields["transport"] = (server or client)[-1].version.name
        return role, fields, whole
    raise WireError("no hello in the first packets")
