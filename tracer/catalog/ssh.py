# SPDX-License-Identifier: MIT
"""Algorithms of SSH: IANA's registry "SSH Protocol Parameters", and those of OpenSSH, Dropbear and others.

Names with an @ belong to whoever owns the domain. What is in no table here is shown as it is, and not graded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracer.catalog.grades import (
    BROKEN,
    HYBRID,
    PQ_CLASSICAL,
    PQ_HYBRID,
    VULNERABLE,
    WEAK,
    Finding,
    worst,
)

# These stand among the key exchanges and are none: RFC 8308, OpenSSH's PROTOCOL, Dropbear's kexguess2.txt.
CLIENT_MARKERS = ("ext-info-c", "kex-strict-c-v00@openssh.com", "kex-strict-c")
SERVER_MARKERS = ("ext-info-s", "kex-strict-s-v00@openssh.com", "kex-strict-s")
MARKERS = frozenset((*CLIENT_MARKERS, *SERVER_MARKERS, "kexguess2@matt.ucc.asn.au"))
STRICT = frozenset(("kex-strict-c-v00@openssh.com", "kex-strict-s-v00@openssh.com", "kex-strict-c", "kex-strict-s"))

_HYBRID = re.compile(r"(mlkem\d+|sntrup\d+|[\w-]*kyber-?\d+\w*).*(25519|448|nistp\d+|brainpool).*|"
                     r"(x25519|ecdh-nistp\d+)-kyber-\d+.*")  # fmt: skip
_DRAFTS = re.compile(r".*(kyber|sntrup4591761).*")
_CLASSICAL = re.compile(
    r"(gss-)?(curve25519|curve448|ecdh|nistp\d+|ecmqv|diffie-hellman|group(1|14|15|16|17|18)|gex|sm2kep|rsa\d+)\b.*"
)

# Patterns of whole names.
_KEX = (
    (r"(gss-|diffie-hellman-)group1-sha1.*|rsa1024-sha1", BROKEN, "a group of 1024 bits"),
    (r".*-sha1(-.*)?", WEAK, "SHA-1"),
)
_HOST_KEYS = (
    (r"ssh-dss.*", BROKEN, "DSA with SHA-1"),
    (r"ssh-rsa(-cert-v0[01]@openssh\.com)?|x509v3-(sign-rsa|ssh-rsa|sign-dss|ssh-dss)(-sha1)?.*", BROKEN,
     "a signature with SHA-1"),
    (r"null", BROKEN, "no authentication"),
)  # fmt: skip
_CIPHERS = (
    (r"none", BROKEN, "no encryption"),
    (r"arcfour.*", BROKEN, "RC4"),
    (r"des-cbc.*", BROKEN, "DES"),
    (r"3des-.*", WEAK, "3DES"),
    (r"(blowfish|cast128|idea|seed).*", WEAK, "blocks of 64 bits"),
    (r".*-cbc(@.*)?", WEAK, "CBC"),
)
_MACS = (
    (r"none", BROKEN, "no authentication of data"),
    (r"hmac-md5.*", WEAK, "MD5"),
    (r"hmac-sha1.*", WEAK, "SHA-1"),
    (r"umac-64.*", WEAK, "a MAC of 64 bits"),
)
_AEAD = re.compile(r"chacha20-poly1305(@openssh\.com)?|aes\d+-gcm(@openssh\.com)?|AEAD_.*")
_ENCRYPT_THEN_MAC = re.compile(r".*-etm@openssh\.com")


def is_aead(cipher: str) -> bool:
    """Whether a cipher authenticates by itself, so that no MAC is chosen for it."""
    return _AEAD.fullmatch(cipher) is not None


def kex_kind(name: str) -> str | None:
    """What kind of key exchange it is; None for one that is not known."""
    if _HYBRID.fullmatch(name):
        return PQ_HYBRID
    return PQ_CLASSICAL if _CLASSICAL.fullmatch(name) else None


def grade_ssh(kex: str, host_key: str, ways: Iterable[tuple[str, str | None]], *, strict: bool,
              old: bool) -> tuple[str | None, str | None]:  # fmt: skip
    """Grade and reason of what was negotiated.

    Args:
        ways: cipher and MAC of each direction; no MAC where the cipher has its own.
        strict: whether both sides count packets strictly, as CVE-2023-48795 (Terrapin) made necessary.
        old: whether it is a version before 2.0.
    """
    ways = tuple(ways)
    ciphers, macs = [cipher for cipher, _ in ways], [mac for _, mac in ways if mac]
    found: list[Finding] = [(BROKEN, "SSH before 2.0 is withdrawn")] if old else []
    for names, rules in (((kex,), _KEX), ((host_key,), _HOST_KEYS), (ciphers, _CIPHERS), (macs, _MACS)):
        for name in dict.fromkeys(names):
            found += [(grade, f"{reason}: {name}") for rule, grade, reason in rules if re.fullmatch(rule, name)]
    kind = kex_kind(kex)
    if kind == PQ_CLASSICAL:
        found.append((VULNERABLE, f"key exchange {kex}"))
    elif kind == PQ_HYBRID:
        draft = ", a draft that was replaced" if _DRAFTS.fullmatch(kex) else ""
        found.append((HYBRID, f"key exchange {kex}{draft}"))
    # CBC keeps what is said secret only if the MAC is that of what was encrypted; and then Terrapin cuts messages out.
    chained = [(cipher, bool(_ENCRYPT_THEN_MAC.fullmatch(mac))) for cipher, mac in ways if "-cbc" in cipher and mac]
    found += [
        (BROKEN, f"CBC without encrypt-then-MAC (CVE-2008-5161): {cipher}") for cipher, then in chained if not then
    ]
    if not strict and (
        any(then for _, then in chained) or any(cipher.startswith("chacha20-poly1305") for cipher in ciphers)
    ):
        found.append((WEAK, "no strict key exchange (CVE-2023-48795)"))
    return worst(found)
