# SPDX-License-Identifier: MIT
"""Versions of TLS, DTLS and QUIC by their numbers on the wire."""

from __future__ import annotations

TLS_1_0, TLS_1_2, TLS_1_3 = 0x0301, 0x0303, 0x0304
DTLS_1_0, DTLS_1_2, DTLS_1_3 = 0xFEFF, 0xFEFD, 0xFEFC

VERSIONS = {
    0x0002: "SSL 2.0",
    0x0300: "SSL 3.0",
    TLS_1_0: "TLS 1.0",
    0x0302: "TLS 1.1",
    TLS_1_2: "TLS 1.2",
    TLS_1_3: "TLS 1.3",
    DTLS_1_0: "DTLS 1.0",
    DTLS_1_2: "DTLS 1.2",
    DTLS_1_3: "DTLS 1.3",
}

# RFC 6176, RFC 7568, RFC 8996.
WITHDRAWN = frozenset((0x0002, 0x0300, TLS_1_0, 0x0302, DTLS_1_0))


def version_name(number: int) -> str:
    """``TLS 1.3``; the number, if nobody has given it a name."""
    return VERSIONS.get(number) or f"0x{number:04X}"


def is_old(number: int) -> bool:
    """Whether it is a version before TLS 1.3, whose ServerHello says less than the messages behind it."""
    return number not in (TLS_1_3, DTLS_1_3) and number in VERSIONS
