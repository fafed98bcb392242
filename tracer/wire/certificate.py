# SPDX-License-Identifier: MIT
"""What a certificate says of itself: names, key, signature, validity. RFC 5280, in DER.

Nothing is verified. Only definite lengths are read, and no deeper than the structure of a certificate goes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tracer.catalog import oids
from tracer.wire.reader import Reader, WireError

INTEGER, BITS, OID, SEQUENCE, SET, VERSION = 0x02, 0x03, 0x06, 0x30, 0x31, 0xA0
UTC_TIME, LONG_TIME = 0x17, 0x18

# How text is coded, by its tag: X.690. What is left out is no text.
CODINGS = {12: "utf-8", 18: "ascii", 19: "ascii", 20: "latin-1", 22: "ascii", 26: "ascii", 28: "utf-32-be",
           30: "utf-16-be"}  # fmt: skip

MAX_PARTS, MAX_NAME = 64, 1024
# Of a key, an arc and a length: larger ones are no certificate's.
MAX_KEY, MAX_OID, MAX_LENGTH_SIZE = 1 << 13, 64, 4

_SPECIAL = re.compile(r'([,+"\\<>;])')
_UTC = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z")
_LONG = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d+)?Z")


class Certificate(NamedTuple):
    """What it says.

    Attributes:
        key: ``RSA 2048``, ``EC secp256r1``, ``Ed25519``; the object identifier, if that is all that is known.
        bits: of the numbers of an RSA or DSA key, else 0.
        not_before, not_after: ISO 8601, UTC; None if they are no times.
    """

    subject: str
    issuer: str
    key: str
    bits: int
    signature: str
    not_before: str | None
    not_after: str | None


def read_certificate(data: bytes) -> Certificate:
    """A certificate from its DER.

    Raises:
        WireError: it is none.
    """
    body = Reader(_expect(Reader(_expect(Reader(data), SEQUENCE)), SEQUENCE))
    tag, _ = _value(body, peek=True)
    if tag == VERSION:
        _value(body)
    _expect(body, INTEGER)
    signature = _oid(_expect(Reader(_expect(body, SEQUENCE)), OID))
    issuer = _name(_expect(body, SEQUENCE))
    validity = Reader(_expect(body, SEQUENCE))
    not_before, not_after = _time(*_value(validity)), _time(*_value(validity))
    subject = _name(_expect(body, SEQUENCE))
    key, bits = _key(_expect(body, SEQUENCE))
    return Certificate(subject, issuer, key, bits, oids.SIGNATURES.get(signature, signature), not_before, not_after)


def _value(reader: Reader, *, peek: bool = False) -> tuple[int, bytes]:
    """Tag and content of the next value."""
    at = reader.at
    tag, size = reader.number(1), reader.number(1)
    if size >= 0x80:
        length_size = size & 0x7F
        if not 0 < length_size <= MAX_LENGTH_SIZE:
            raise WireError(f"a length of {length_size} bytes")
        size = reader.number(length_size)
    content = reader.take(size)
    if peek:
        reader.at = at
    return tag, content


def _expect(reader: Reader, tag: int) -> bytes:
    found, content = _value(reader)
    if found != tag:
        raise WireError(f"tag {found:#x}, expected {tag:#x}")
    return content


def _oid(data: bytes) -> str:
    """An object identifier as numbers with dots."""
    if not data or len(data) > MAX_OID or data[-1] & 0x80:
        raise WireError(f"no object identifier: {data[:MAX_OID].hex()}")
    arcs, arc = [], 0
    for byte in data:
        arc = arc << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _name(data: bytes) -> str:
    """A distinguished name as RFC 4514 writes it: the last part first."""
    parts: list[str] = []
    reader = Reader(data)
    while reader and len(parts) < MAX_PARTS:
        group = Reader(_expect(reader, SET))
        pairs: list[str] = []
        while group and len(pairs) < MAX_PARTS:
            pair = Reader(_expect(group, SEQUENCE))
            kind = _oid(_expect(pair, OID))
            at = pair.at
            tag, value = _value(pair)
            known = oids.NAMES.get(kind)
            if known and tag in CODINGS:
                pairs.append(f"{known}={_escaped(value.decode(CODINGS[tag], 'replace'))}")
            else:
                pairs.append(f"{known or kind}=#{pair.data[at : pair.at].hex().upper()}")
        parts.append("+".join(reversed(pairs)))
    text = ",".join(reversed(parts))
    return text if len(text) <= MAX_NAME and not reader else text[:MAX_NAME] + "..."


def _escaped(text: str) -> str:
    text = _SPECIAL.sub(r"\\\1", text)
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if len(text) > 1 and text.endswith(" ") and text != "\\ " else text


def _time(tag: int, data: bytes) -> str | None:
    found = (_UTC if tag == UTC_TIME else _LONG).fullmatch(data) if tag in (UTC_TIME, LONG_TIME) else None
    if not found:
        return None
    year, *rest = (int(part or 0) for part in found.groups())
    if tag == UTC_TIME:
        year += 1900 if year >= 50 else 2000
    month, day, hour, minute, second = rest
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _key(data: bytes) -> tuple[str, int]:
    """Kind of a public key, and its size where it has one of its own."""
    reader = Reader(data)
    algorithm = Reader(_expect(reader, SEQUENCE))
    kind = _oid(_expect(algorithm, OID))
    name, sized = oids.KEYS.get(kind, (kind, oids.FIXED))
    if sized == oids.CURVE:
        tag, value = _value(algorithm)
        curve = _oid(value) if tag == OID else "explicit"
        return f"{name} {oids.CURVES.get(curve, curve)}", 0
    if sized == oids.FIXED:
        return name, 0
    if sized == oids.RSA:
        numbers = Reader(_expect(Reader(_expect(reader, BITS)[1:]), SEQUENCE))
    else:
        numbers = Reader(_expect(algorithm, SEQUENCE))
    number = _expect(numbers, INTEGER)
    if len(number) > MAX_KEY:
        raise WireError(f"a key of {len(number)} bytes")
    bits = int.from_bytes(number, "big").bit_length()
    return f"{name} {bits}", bits
