# SPDX-License-Identifier: MIT
"""How good what was negotiated is, and why.

Five grades, the worst first; the worst thing decides, and the reason names what has that grade:

==================  ==========================================================================================
broken              withdrawn versions, ciphers and hashes that are broken, no encryption, no authentication,
                    keys of less than 112 bits of strength
weak                not broken yet, and replaced long ago: 3DES, CBC suites, no forward secrecy
quantum-vulnerable  all that a quantum computer breaks: RSA, DH, ECDH. Who records it today reads it then.
hybrid              a key exchange that joins a classical one with one that is safe from quantum computers
pq-safe             a key exchange with nothing but such a one
==================  ==========================================================================================

What is not known is not graded: a group without a name may be anything. Sources: NIST SP 800-131A and 800-57,
NIST IR 8547, RFC 8996, RFC 9325.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tracer.catalog import groups, oids, signatures, suites, versions

BROKEN, WEAK, VULNERABLE, HYBRID, SAFE = GRADES = ("broken", "weak", "quantum-vulnerable", "hybrid", "pq-safe")

# What a key exchange is.
PQ_HYBRID, PQ_PURE, PQ_CLASSICAL, PQ_NONE = "hybrid", "pure", "classical", "none"

SHORTEST_KEY = 2048

Finding = tuple[str, str]

# Parts of the names of suites: where a part stands alone between underscores.
_SUITE_PARTS = (
    (r"NULL$|_NULL_(?!WITH)|TLS_SHA(256_SHA256|384_SHA384)$", BROKEN, "no encryption"),
    (r"anon", BROKEN, "no authentication"),
    (r"EXPORT", BROKEN, "export cipher"),
    (r"_RC4_", BROKEN, "RC4"),
    (r"_RC2_", BROKEN, "RC2"),
    (r"_DES(40)?_", BROKEN, "DES"),
    (r"_MD5$", BROKEN, "MD5"),
    (r"_3DES_", WEAK, "3DES"),
    (r"_IDEA_", WEAK, "IDEA"),
    (r"_SEED_", WEAK, "SEED"),
    (r"28147", WEAK, "GOST 28147-89"),
    (r"_CBC_", WEAK, "CBC"),
    (r"^TLS_(RSA|PSK|RSA_PSK|DH_RSA|DH_DSS|ECDH_RSA|ECDH_ECDSA|KRB5|GOSTR\w+?)_(EXPORT_)?WITH_", WEAK,
     "no forward secrecy"),
)  # fmt: skip
_SUITE_RULES = tuple((re.compile(pattern), grade, reason) for pattern, grade, reason in _SUITE_PARTS)


class Negotiated(NamedTuple):
    """What counts for the grade of a TLS handshake; None and "" are what is not known.

    Attributes:
        group: number of the group.
        prime_bits: size of the prime of a Diffie-Hellman exchange, else 0.
        exchange: what kind of key exchange it was: hybrid, pure, classical or none.
        only_shared_key: whether the keys come from a shared key alone, and no exchange.
        scheme: number of the server's signature scheme.
        key, key_bits, signature: of the server's certificate.
    """

    version: int
    suite: str
    group: int | None = None
    prime_bits: int = 0
    exchange: str | None = None
    only_shared_key: bool = False
    scheme: int | None = None
    key: str = ""
    key_bits: int = 0
    signature: str = ""


def exchange_kind(group: int | None) -> str | None:
    """``hybrid``, ``pure`` or ``classical``; None for a group that nobody has given a name."""
    if group in groups.HYBRID:
        return PQ_HYBRID
    if group in groups.PURE:
        return PQ_PURE
    return PQ_CLASSICAL if group in groups.GROUPS else None


def worst(findings: Iterable[Finding]) -> tuple[str | None, str | None]:
    """The worst grade, with its reasons; None where nothing was found."""
    found = list(findings)
    if not found:
        return None, None
    grade = min((grade for grade, _ in found), key=GRADES.index)
    return grade, "; ".join(dict.fromkeys(reason for each, reason in found if each == grade))


def suite_findings(suite: str) -> list[Finding]:
    """What is wrong with a cipher suite."""
    return [(grade, f"{reason}: {suite}") for rule, grade, reason in _SUITE_RULES if rule.search(suite)]


def grade_tls(what: Negotiated) -> tuple[str | None, str | None]:
    """Grade and reason; none for a version that nobody knows."""
    if what.version not in versions.VERSIONS:
        return None, None
    return worst([*_version(what), *suite_findings(what.suite), *_exchange(what), *_certificate(what)])


def _version(what: Negotiated) -> Iterable[Finding]:
    if what.version in versions.WITHDRAWN:
        yield BROKEN, f"{versions.version_name(what.version)} is withdrawn"


def _exchange(what: Negotiated) -> Iterable[Finding]:
    name = "" if what.group is None else groups.group_name(what.group)
    if what.group in groups.SHORT:
        yield BROKEN, f"less than 112 bits of strength: {name}"
    if 0 < what.prime_bits < SHORTEST_KEY:
        yield BROKEN, f"less than 112 bits of strength: DH {what.prime_bits}"
    if what.only_shared_key:
        yield WEAK, "no forward secrecy: a shared key and no key exchange"
    if what.exchange == PQ_CLASSICAL:
        how = name or (f"DH {what.prime_bits}" if what.prime_bits else suites.exchange_of(what.suite))
        yield VULNERABLE, f"key exchange {how}"
    elif what.exchange == PQ_HYBRID:
        yield HYBRID, f"key exchange {name}{', a draft that was replaced' if what.group in groups.DRAFTS else ''}"
    elif what.exchange == PQ_PURE:
        yield SAFE, f"key exchange {name}"


def _certificate(what: Negotiated) -> Iterable[Finding]:
    if 0 < what.key_bits < SHORTEST_KEY or what.key.endswith(oids.SHORT_CURVES):
        yield BROKEN, f"less than 112 bits of strength: certificate with {what.key}"
    if re.match(r"md|sha1", what.signature) or what.signature.endswith(("SHA1", "-SHA1")):
        yield BROKEN, f"certificate signed with {what.signature}"
    if what.scheme is not None and signatures.scheme_name(what.scheme).endswith(signatures.BROKEN_HASHES):
        yield BROKEN, f"signed with {signatures.scheme_name(what.scheme)}"
