"""Hellos of TLS, put together by hand, for what no program at hand says."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.wire.hello import RETRY

RANDOM = bytes(range(32))


def u8(data: bytes) -> bytes:
    """Behind its length in a byte."""
    return len(data).to_bytes(1, "big") + data


def u16(data: bytes) -> bytes:
    """Behind its length in two."""
    return len(data).to_bytes(2, "big") + data


def numbers(*found: int) -> bytes:
    """Of two bytes each."""
    return b"".join(number.to_bytes(2, "big") for number in found)


def extensions(found: Iterable[tuple[int, bytes]]) -> bytes:
    """All of them, behind their length."""
    return u16(b"".join(kind.to_bytes(2, "big") + u16(data) for kind, data in found))


def message(kind: int, body: bytes) -> bytes:
    """A message of the handshake."""
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def record(data: bytes, kind: int = 22) -> bytes:
    """One record."""
    return bytes((kind, 3, 3)) + u16(data)


def sni(name: bytes) -> tuple[int, bytes]:
    """The extension with the server's name."""
    return 0, u16(b"\0" + u16(name))


def alpn(*protocols: bytes) -> tuple[int, bytes]:
    """The extension with the protocols."""
    return 16, u16(b"".join(map(u8, protocols)))


def groups(*found: int) -> tuple[int, bytes]:
    """The extension with the groups."""
    return 10, u16(numbers(*found))


def schemes(*found: int) -> tuple[int, bytes]:
    """The extension with the signature schemes."""
    return 13, u16(numbers(*found))


def versions(*found: int) -> tuple[int, bytes]:
    """The client's extension with the versions."""
    return 43, u8(numbers(*found))


def share(group: int) -> tuple[int, bytes]:
    """The server's key share."""
    return 51, numbers(group) + u16(bytes(8))


VERSION_13 = (43, numbers(0x0304))


def client_hello(*found: tuple[int, bytes], suites: tuple[int, ...] = (0x1301,), version: int = 0x0303,
                 session: bytes = b"") -> bytes:  # fmt: skip
    """The message."""
    body = version.to_bytes(2, "big") + RANDOM + u8(session) + u16(numbers(*suites)) + u8(b"\0")
    return message(1, body + extensions(found))


def server_hello(*found: tuple[int, bytes], suite: int = 0x1301, version: int = 0x0303, session: bytes = b"",
                 random: bytes = RANDOM) -> bytes:  # fmt: skip
    """The message."""
    body = version.to_bytes(2, "big") + random + u8(session) + numbers(suite) + b"\0"
    return message(2, body + extensions(found))


def retry(*found: tuple[int, bytes]) -> bytes:
    """A HelloRetryRequest."""
    return server_hello(*found, random=RETRY)
