# SPDX-License-Identifier: MIT
"""ClientHello and ServerHello: RFC 5246 and RFC 8446, with the cookie of DTLS (RFC 6347, RFC 9147).

A hello may be only the beginning of one: then it has the extensions that are there, and `cut` is true.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from tracer.wire.reader import CutError, Reader, WireError, numbers, text

CLIENT_HELLO, SERVER_HELLO = 1, 2

SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, TICKET = 0, 10, 11, 13, 16, 35
PRE_SHARED_KEY, VERSIONS, KEY_SHARE = 41, 43, 51
ENCRYPTED_HELLO = 0xFE0D

# A ServerHello with this random asks the client to try again: RFC 8446, 4.1.3.
RETRY = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")

MAX_EXTENSIONS = 128
_HEAD = struct.Struct(">HH")
# So many of each list are read: none has more that mean something.
MAX_ITEMS = 256


# Numbers that stand for nothing, and are there to keep servers flexible: RFC 8701.
GREASE = frozenset(0x1010 * high | 0x0A0A for high in range(16))


def without_grease(found: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers that mean something."""
    return tuple([number for number in found if number not in GREASE])


class Hello(NamedTuple):
    """One hello of either side.

    Attributes:
        version: as its head says, which TLS 1.3 no longer means.
        suites: those offered, GREASE included; the one chosen of a ServerHello.
        extensions: numbers and contents in the order of the message, GREASE included.
        cut: whether it is only the beginning.
    """

    version: int
    random: bytes
    session: bytes
    suites: tuple[int, ...]
    extensions: tuple[tuple[int, bytes], ...]
    cut: bool

    def extension(self, number: int) -> bytes | None:
        """The content of an extension; None if it is not there."""
        for kind, data in self.extensions:
            if kind == number:
                return data
        return None

    @property
    def is_retry(self) -> bool:
        """Whether it is a HelloRetryRequest."""
        return self.random == RETRY


def read_client_hello(body: bytes, *, cut: bool = False, dtls: bool = False) -> Hello:
    """A ClientHello from the bytes of its message.

    Raises:
        WireError: it is none; CutError if not even its suites are there.
    """
    reader = Reader(body, cut=cut)
    version, random = reader.number(2), reader.take(32)
    session = reader.vector(1)
    if dtls:
        reader.vector(1)
    suites = numbers(reader.vector(2)[: 2 * MAX_ITEMS])
    extensions: tuple[tuple[int, bytes], ...] = ()
    try:
        reader.vector(1)
        extensions, cut = _extensions(reader)
    except CutError:
        cut = True
    return Hello(version, random, session, suites, extensions, cut)


def read_server_hello(body: bytes, *, cut: bool = False) -> Hello:
    """A ServerHello from the bytes of its message.

    Raises:
        WireError: it is none; CutError if not even its suite is there.
    """
    reader = Reader(body, cut=cut)
    version, random = reader.number(2), reader.take(32)
    session = reader.vector(1)
    suite = reader.number(2)
    extensions: tuple[tuple[int, bytes], ...] = ()
    try:
        reader.take(1)
        extensions, cut = _extensions(reader)
    except CutError:
        cut = True
    return Hello(version, random, session, (suite,), extensions, cut)


def _extensions(reader: Reader) -> tuple[tuple[tuple[int, bytes], ...], bool]:
    """The extensions, and whether some are missing."""
    found: list[tuple[int, bytes]] = []
    if not reader:
        return (), reader.cut
    inside = reader.part(2)
    data, at, size = inside.data, 0, len(inside.data)
    # Not with the reader's own functions: this is where most of the time goes.
    while at < size and len(found) < MAX_EXTENSIONS:
        kind, length = _HEAD.unpack_from(data, at) if at + 4 <= size else (0, size)
        end = at + 4 + length
        if end > size:
            if inside.cut:
                return tuple(found), True
            raise WireError(f"an extension of {length} bytes at {at} of {size}")
        found.append((kind, data[at + 4 : end]))
        at = end
    return tuple(found), inside.cut or at < size


# What extensions say. Of one that is not as it should be, nothing is said.


def server_name(hello: Hello) -> str | None:
    """The name that the client asks for."""
    data = hello.extension(SERVER_NAME)
    # A list of names, of which only those of type 0 exist: RFC 6066.
    if data is None or len(data) < 5 or data[2]:
        return None
    size = int.from_bytes(data[3:5], "big")
    return text(data[5 : 5 + size]) if size and 5 + size <= len(data) else None


def protocols(hello: Hello) -> tuple[bytes, ...]:
    """The protocols of ALPN: those offered, or the one chosen."""
    data = (hello.extension(ALPN) or b"")[2:]
    found: list[bytes] = []
    while data and len(found) < MAX_ITEMS:
        size = data[0]
        if size >= len(data):
            break
        found.append(data[1 : 1 + size])
        data = data[1 + size :]
    return tuple(found)


def offered_versions(hello: Hello) -> tuple[int, ...]:
    """The versions of a ClientHello; without the extension, the highest that it allows."""
    data = hello.extension(VERSIONS)
    found = without_grease(numbers(data[1 : 1 + data[0]])) if data else ()
    return found or (hello.version,)


def offered_groups(hello: Hello) -> tuple[int, ...]:
    """The groups of a ClientHello."""
    return without_grease(numbers((hello.extension(GROUPS) or b"")[2:][: 2 * MAX_ITEMS]))


def signatures(hello: Hello) -> tuple[int, ...]:
    """The signature schemes of a ClientHello."""
    return without_grease(numbers((hello.extension(SIGNATURES) or b"")[2:][: 2 * MAX_ITEMS]))


def chosen_version(hello: Hello) -> int:
    """The version of a ServerHello."""
    data = hello.extension(VERSIONS)
    return int.from_bytes(data, "big") if data is not None and len(data) == 2 else hello.version


def chosen_group(hello: Hello) -> int | None:
    """The group of a ServerHello; None up to TLS 1.2, and where only a key from before is used."""
    data = hello.extension(KEY_SHARE)
    return int.from_bytes(data[:2], "big") if data is not None and len(data) >= 2 else None
