# SPDX-License-Identifier: MIT
"""Ciphers of TLS in the kernel by their numbers: include/uapi/linux/tls.h."""

from __future__ import annotations

KTLS_CIPHERS = {
    51: "AES-GCM-128",
    52: "AES-GCM-256",
    53: "AES-CCM-128",
    54: "CHACHA20-POLY1305",
    55: "SM4-GCM",
    56: "SM4-CCM",
    57: "ARIA-GCM-128",
    58: "ARIA-GCM-256",
}


def ktls_cipher(number: int) -> str:
    """``AES-GCM-256``; the number, if it has no name here."""
    return KTLS_CIPHERS.get(number) or str(number)
