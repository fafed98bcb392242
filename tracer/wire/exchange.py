# SPDX-License-Identifier: MIT
"""ServerKeyExchange up to TLS 1.2: the group of the key exchange, and how the server signs its part.

RFC 5246 7.4.3, RFC 8422 5.4, RFC 4279. What kind it is of, the suite says.
"""

from __future__ import annotations

from typing import NamedTuple

from tracer.catalog.groups import finite_fields, group_name
from tracer.catalog.suites import suite_name
from tracer.wire.reader import CutError, Reader

TLS_1_2 = 0x0303
NAMED_CURVE = 3


class Exchange(NamedTuple):
    """What the server says of the key exchange.

    Attributes:
        group: its name, or None.
        number: of a named group, or None.
        bits: size of the prime, where the group is one of numbers; else 0.
        scheme: number of the signature scheme; None before TLS 1.2, and without a signature.
    """

    group: str | None = None
    number: int | None = None
    bits: int = 0
    scheme: int | None = None


def read_exchange(body: bytes, suite: int, version: int, *, cut: bool = False) -> Exchange | None:
    """The exchange from the bytes of its message; None if the suite's kind has none that is known.

    Raises:
        WireError: it is not as the suite says; CutError if not even the group is there.
    """
    how = suite_name(suite).partition("_WITH_")[0]
    reader = Reader(body, cut=cut)
    if "PSK" in how:
        reader.vector(2)  # a hint which key is meant
    if "ECDH" in how:
        if reader.number(1) != NAMED_CURVE:
            return Exchange("explicit curve")
        number = reader.number(2)
        found = Exchange(group_name(number), number)
        sizes: tuple[int, ...] = (1,)
    elif "DHE" in how or "DH_anon" in how:
        prime = int.from_bytes(reader.vector(2), "big")
        bits = prime.bit_length()
        known = finite_fields().get(prime)
        found = Exchange(f"DH {bits}" if known is None else group_name(known), known, bits)
        sizes = (2, 2)
    else:
        return None
    signed = version >= TLS_1_2 and "anon" not in how and "PSK" not in how
    try:
        for size in sizes:
            reader.vector(size)
        return found._replace(scheme=reader.number(2)) if signed else found
    except CutError:
        return found
