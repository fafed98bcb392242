# SPDX-License-Identifier: MIT
"""Cipher suites of TLS: IANA's registry "TLS Cipher Suites"."""

from __future__ import annotations

SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
}


def suite_name(number: int) -> str:
    """``TLS_AES_128_GCM_SHA256``; the number, if nobody has given it a name."""
    return SUITES.get(number) or f"0x{number:04X}"
