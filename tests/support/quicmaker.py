"""Packets of QUIC with a given hello inside, made as RFC 9001 says."""

from __future__ import annotations

from tracer.wire import aes, quic

ID, OTHER_ID = bytes.fromhex("8394c8f03e515708"), bytes.fromhex("f067a5502a4262b5")


def variable(number: int) -> bytes:
    """An integer in as few bytes as it takes."""
    for bits, size in ((6, 1), (14, 2), (30, 4)):
        if number < 1 << bits:
            return (number | {1: 0, 2: 1 << 14, 4: 2 << 30}[size]).to_bytes(size, "big")
    raise ValueError(number)


def initial(number: int, side: str, packet: int, frames: bytes, destination: bytes, key_id: bytes = ID) -> bytes:
    """A protected Initial packet; its tag is zeros, which nobody looks at."""
    version = quic.VERSIONS[number]
    keys = quic.Keys(version, quic.secret(version, key_id), side)
    head = bytes((0xC3 | version.initial << 4,)) + number.to_bytes(4, "big")
    head += bytes((len(destination),)) + destination + b"\0" + b"\0"
    head += variable(4 + len(frames) + quic.TAG) + packet.to_bytes(4, "big")
    nonce = (keys._nonce ^ packet).to_bytes(12, "big")
    payload = aes.counter_mode(keys._keys, [(nonce, frames)])[0] + bytes(quic.TAG)
    mask = aes.encrypt(keys._head, payload[: quic.SAMPLE])
    protected = bytes((head[0] ^ mask[0] & 0x0F,)) + head[1:-4]
    return protected + bytes(a ^ b for a, b in zip(head[-4:], mask[1:5])) + payload


def crypto(at: int, data: bytes) -> bytes:
    """A CRYPTO frame."""
    return b"\x06" + variable(at) + variable(len(data)) + data


def quic_talk(number: int, client: bytes, server: bytes, size: int = 1100) -> tuple[list[bytes], list[bytes]]:
    """The datagrams of two hellos, each in as many as it takes."""
    up = [initial(number, "client", i, crypto(at, client[at : at + size]).ljust(1150, b"\0"), ID)
          for i, at in enumerate(range(0, len(client), size))]  # fmt: skip
    down = [initial(number, "server", i, b"\x02\0\0\0\0" + crypto(at, server[at : at + size]), OTHER_ID)
            for i, at in enumerate(range(0, len(server), size))]  # fmt: skip
    return up, down
