# SPDX-License-Identifier: MIT
"""What the events of handshakes say beside what all events do: the columns that tracer/wire fills."""

from __future__ import annotations

from typing import Any

from tracer.column import ARRAY, BOOLEAN, INTEGER, STRING, Column


def _known(value: Any) -> Any:
    """The value, or None for 0 and ""."""
    return value or None


# What is known of both ends of a connection.
ENDS = (
    Column("local_address", STRING, "Address of this side; null if it is not known.", nullable=True),
    Column("peer_pid", INTEGER, "Process id of the other side, if it runs on this host; else null.", nullable=True),
    Column("peer_process", STRING, "Name of that process, or null.", nullable=True),
)
VERDICT = (
    Column(
        "post_quantum",
        STRING,
        "Kind of key exchange: ``hybrid``, ``pure`` or ``classical``; ``none`` if a shared key replaced it; null if "
        "it is not known.",
        nullable=True,
    ),
    Column(
        "post_quantum_reason",
        STRING,
        "Who kept it classical: ``client did not offer``, ``server did not choose``; null if nobody did.",
        nullable=True,
    ),
    Column(
        "grade",
        STRING,
        "``broken``, ``weak``, ``quantum-vulnerable``, ``hybrid`` or ``pq-safe``; null if it cannot be told.",
        nullable=True,
    ),
    Column("grade_reason", STRING, "What the grade is for, or null.", nullable=True),
)
EVIDENCE = Column(
    "evidence",
    STRING,
    "How much it proves: ``available``, ``loaded``, ``initialised`` or ``negotiated``; null if it proves nothing.",
    nullable=True,
)

# What a TLS handshake tells on the wire; see tracer/wire.
WIRE_TLS = (
    Column("source", STRING, "``library`` if a function of one was seen, ``wire`` if the packets were.", nullable=True),
    Column("transport", STRING, "What it runs over: ``TCP``, ``DTLS``, ``QUIC v1``, ``QUIC v2``.", nullable=True),
    Column("version", STRING, "The version that was agreed on: ``TLS 1.3``.", nullable=True),
    Column("suite", STRING, "The cipher suite, as IANA calls it; its number if it has no name.", nullable=True),
    Column(
        "group",
        STRING,
        "The group of the key exchange: ``X25519MLKEM768``; null if there was none, or it is not known.",
        nullable=True,
    ),
    Column(
        "signature_scheme",
        STRING,
        "How the server signed; null from TLS 1.3 on, where it is encrypted.",
        nullable=True,
    ),
    Column("sni", STRING, "The name of the server that the client asked for.", nullable=True),
    Column("ech", BOOLEAN, "Whether the client sent an encrypted hello: `sni` is the outer one then.", nullable=True),
    Column("alpn", STRING, "The protocol chosen; null from TLS 1.3 on, where it is encrypted.", nullable=True),
    Column("offered_alpn", ARRAY, "The protocols that the client offered.", nullable=True),
    Column(
        "resumed",
        BOOLEAN,
        "Whether the keys are those of an earlier handshake, or given beforehand; null if it is not known.",
        nullable=True,
    ),
    Column("hello_retry", BOOLEAN, "Whether the server asked for another key share.", nullable=True),
    Column("offered_versions", ARRAY, "The versions that the client offered.", nullable=True),
    Column("offered_groups", ARRAY, "The groups that the client offered, in its order.", nullable=True),
    Column("ja3", STRING, "The client's fingerprint: JA3.", nullable=True),
    Column("ja4", STRING, "The client's fingerprint: JA4.", nullable=True),
    Column("certificate_subject", STRING, "Whose the server's certificate is; null from TLS 1.3 on.", nullable=True),
    Column("certificate_issuer", STRING, "Who signed it.", nullable=True),
    Column("certificate_key", STRING, "Its key: ``RSA 2048``, ``EC secp256r1``.", nullable=True),
    Column("certificate_signature", STRING, "How it is signed: ``sha256WithRSAEncryption``.", nullable=True),
    Column("certificate_not_before", STRING, "From when it is valid: ISO 8601, UTC, seconds.", nullable=True),
    Column("certificate_not_after", STRING, "Until when it is valid.", nullable=True),
    Column("truncated", BOOLEAN, "Whether something of the handshake is missing.", nullable=True),
    *VERDICT,
    EVIDENCE,
    *ENDS,
)

WIRE_SSH = (
    Column("role", STRING, "``client`` or ``server``; null if it is not known.", show=_known, nullable=True),
    Column("peer_address", STRING, "Address of the other side.", nullable=True),
    Column("peer_port", INTEGER, "Port of the other side.", nullable=True),
    Column("local_port", INTEGER, "Port of this side.", nullable=True),
    Column("version", STRING, "The version of the protocol: ``SSH 2.0``.", nullable=True),
    Column("client_banner", STRING, "The line in which the client says what it is.", nullable=True),
    Column("server_banner", STRING, "The same of the server.", nullable=True),
    Column("kex", STRING, "The key exchange.", nullable=True),
    Column("host_key", STRING, "The algorithm of the server's key.", nullable=True),
    Column("cipher_client", STRING, "The cipher from the client to the server.", nullable=True),
    Column("cipher_server", STRING, "The cipher from the server to the client.", nullable=True),
    Column("mac_client", STRING, "The MAC of that direction; null if the cipher is one itself.", nullable=True),
    Column("mac_server", STRING, "The MAC of the other one.", nullable=True),
    Column(
        "compression",
        STRING,
        "The compression; both, with a slash, if the directions differ.",
        nullable=True,
    ),
    Column("strict_kex", BOOLEAN, "Whether both sides count packets strictly (CVE-2023-48795).", nullable=True),
    Column("hassh", STRING, "The client's fingerprint.", nullable=True),
    Column("hassh_server", STRING, "The server's fingerprint.", nullable=True),
    Column("truncated", BOOLEAN, "Whether something of the handshake is missing.", show=bool),
    *VERDICT,
    EVIDENCE,
    *ENDS,
)
