# SPDX-License-Identifier: MIT
"""The first packets of QUIC, versions 1 and 2: RFC 9000, 9001, 9369.

Their keys are made of a number that stands in the first packet, so that everybody can read them: they protect from
accidents only. Inside are the ClientHello and the ServerHello of TLS 1.3. What comes after has real keys, and is left
alone. Of a version that is not known nothing can be read.
"""

from __future__ import annotations

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
HEAD, SAMPLE, TAG, MAX_ID = 8, 16, 16, 20
PADDING, PING, ACK, ACK_ECN, CRYPTO, CLOSE = 0, 1, 2, 3, 6, 0x1C

# Of each direction. A hello with a post-quantum key share takes two datagrams, and packets may be sent again.
MAX_DATAGRAMS, MAX_HEADS, MAX_PACKETS, MAX_HELLO = 16, 16, 4, 1 << 14
LARGEST = 2048  # a datagram, of which an Ethernet takes 1500
# What is decrypted of each direction, and how many numbers are read in it.
MAX_BYTES, MAX_NUMBERS = 4500, 192


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
    heads = MAX_HEADS
    for datagram in datagrams[:MAX_DATAGRAMS]:
        reader = Reader(datagram[:LARGEST])
        while heads and begins(reader.data[reader.at : reader.at + HEAD]):
            heads -= 1
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

    def open(self, packets: Sequence[Packet]) -> list[bytes | None]:
        """The frames of packets; None for those of which these are not the keys, as far as that can be told.

        Whether the tag of a packet is right is not looked at: who can send another one can send a right one.
        """
        samples = [packet.data[packet.at + 4 : packet.at + 4 + SAMPLE] for packet in packets]
        masks = aes.encrypt(self._head, b"".join([sample.ljust(SAMPLE) for sample in samples]))
        parts: list[tuple[bytes, bytes]] = []
        left = MAX_BYTES
        for i, ((_, data, at, _), sample) in enumerate(zip(packets, samples)):
            mask = masks[i * SAMPLE : i * SAMPLE + 5]
            first = data[0] ^ mask[0] & 0x0F
            size = (first & 3) + 1
            body = data[at + size : -TAG]
            if first & RESERVED or len(sample) < SAMPLE or len(body) > left:
                parts.append((b"", b""))
                continue
            left -= len(body)
            number = int.from_bytes(data[at : at + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
            parts.append(((self._nonce ^ number).to_bytes(12, "big"), body))
        return [frames or None for frames in aes.counter_mode(self._keys, parts)]


def secret(version: Version, destination: bytes) -> bytes:
    """The secret of a connection, by the id that its client's first packet is sent to."""
    return _hmac(version.salt, destination)


def _hmac(key: bytes, text: bytes) -> bytes:
    import hmac  # not before it is asked for: it loads OpenSSL

    return hmac.digest(key, text, "sha256")


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label of TLS 1.3 with no context: RFC 8446, 7.1."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0"
    return _hmac(secret, info + b"\1")[:size]


class Frames:
    """The frames of one direction.

    Attributes:
        parts: places and contents of the CRYPTO frames.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[int, bytes]] = []
        self._left = MAX_NUMBERS

    def add(self, frames: bytes) -> bool:
        """Take in those of a packet; returns whether they are such as an Initial packet may have: RFC 9000, 12.4."""
        found: list[tuple[int, bytes]] = []
        reader = Reader(frames)
        try:
            while reader and self._left > 0:
                if not frames[reader.at]:
                    reader.at = len(frames) - len(frames[reader.at :].lstrip(b"\0"))
                    continue
                kind = self._number(reader)
                if kind == CRYPTO:
                    at = self._number(reader)
                    found.append((at, reader.take(self._number(reader))))
                elif kind in (ACK, ACK_ECN):
                    self._number(reader), self._number(reader)
                    for _ in range(min(2 * self._number(reader) + 1 + 3 * (kind == ACK_ECN), self._left)):
                        self._number(reader)
                elif kind == CLOSE:
                    break
                elif kind != PING:
                    return False
        except WireError:
            return False
        self.parts += found
        return True

    def _number(self, reader: Reader) -> int:
        self._left -= 1
        return _variable(reader)


def _joined(parts: list[tuple[int, bytes]]) -> bytes:
    """The stream up to the first gap."""
    stream = b""
    for at, part in sorted(parts):
        if at > len(stream):
            break
        stream += part[len(stream) - at :]
    return stream[:MAX_HELLO]


def _stream(packets: Sequence[Packet], ids: Sequence[bytes], side: str) -> tuple[bytes, bytes]:
    """What one side says in its first packets, and the last of the ids whose keys they have.

    Args:
        ids: those that may have made the keys.
    """
    frames, last = Frames(), b""
    # The server may go on in another version: RFC 9368. Its keys are made of the same id.
    for version in list(dict.fromkeys(packet.version for packet in packets))[: 1 if side == "client" else 2]:
        left = [packet for packet in packets if packet.version is version]
        for destination in ids:
            opened = Keys(version, secret(version, destination), side).open(left)
            closed = [packet for packet, plain in zip(left, opened) if plain is None or not frames.add(plain)]
            if len(closed) < len(left):
                last = destination
            elif destination == ids[0]:
                break  # who does not begin with a hello says none
            left = closed
            if not left:
                break
    return _joined(frames.parts), last


def read_quic(sent: Sequence[bytes], received: Sequence[bytes]) -> tuple[str, dict[str, Any], bool]:
    """Role of the side that has sent the first datagrams, the fields of the event, and whether that is all.

    Raises:
        WireError: it is no QUIC, or nothing in it can be read.
    """
    ours, theirs = (list(islice(_packets(side), MAX_PACKETS)) for side in (sent, received))
    for role, client, server in (("client", ours, theirs), ("server", theirs, ours)):
        # After a Retry, the client's packets go to another id, and that makes the keys.
        ids = list(dict.fromkeys(packet.destination for packet in client))[:2]
        asked, last = _stream(client, ids, "client")
        if asked[:1] != bytes((h.CLIENT_HELLO,)):
            continue
        said, _ = _stream(server, [last], "server")
        # Nothing but hellos is in these packets; alerts of QUIC are frames.
        client_flight, server_flight = (
            Flight(split_messages(each), ended=False, failed=False) for each in (asked, said)
        )
        fields, whole = conclude(client_flight, server_flight, "q")
        fields["transport"] = (server or client)[-1].version.name
        return role, fields, whole
    raise WireError("no hello in the first packets")
