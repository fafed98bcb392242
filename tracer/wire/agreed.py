# SPDX-License-Identifier: MIT
"""From what both sides said to the values of a `tls_handshake` event: the same for TLS, DTLS and QUIC."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.catalog.grades import PQ_CLASSICAL, PQ_HYBRID, PQ_NONE, PQ_PURE, Negotiated, exchange_kind, grade_tls
from tracer.catalog.groups import group_name
from tracer.catalog.signatures import scheme_name
from tracer.catalog.suites import is_ephemeral, suite_name
from tracer.catalog.versions import is_old, version_name
from tracer.known import Known
from tracer.wire import hello as h
from tracer.wire.certificate import Certificate
from tracer.wire.exchange import Exchange
from tracer.wire.fingerprints import ja3, ja4
from tracer.wire.hello import Hello
from tracer.wire.reader import text

NOT_OFFERED, NOT_CHOSEN = "client did not offer", "server did not choose"
NEGOTIATED = "negotiated"
TRANSPORTS = {"t": "TCP", "d": "DTLS", "q": "QUIC"}


# How many bytes of an extension say something of the two sides, and not of this connection alone; of others, that they
# are there is enough. What was made of it is remembered, but not much: strangers choose what there is to remember.
LASTING = {**dict.fromkeys((h.GROUPS, h.POINT_FORMATS, h.SIGNATURES, h.ALPN, h.VERSIONS), 1 << 16), h.KEY_SHARE: 2}
MAX_KNOWN, LONGEST = 256, 1024


class Agreed(NamedTuple):
    """What is known of a handshake.

    Attributes:
        offer: the first ClientHello.
        answer: the ServerHello that is no HelloRetryRequest, if all of it is there.
        retried: whether there was a HelloRetryRequest.
        failed: whether one side has given up.
        resumed: up to TLS 1.2: whether the keys are those of an earlier handshake.
        certificate: the server's, up to TLS 1.2.
        exchange: the server's part of the key exchange, up to TLS 1.2.
        whole: whether nothing is missing.
        transport: as in `tracer.wire.fingerprints.ja4`.
    """

    offer: Hello | None
    answer: Hello | None
    retried: bool = False
    failed: bool = False
    resumed: bool | None = None
    certificate: Certificate | None = None
    exchange: Exchange | None = None
    whole: bool = True
    transport: str = "t"


def describe(agreed: Agreed) -> dict[str, Any]:
    """The values of the event by their names.

    Most connections differ in random numbers, keys and names alone: the rest is worked out once for all of them.
    """
    offer, size = _lasting(agreed.offer)
    answer, more = _lasting(agreed.answer)
    alike = agreed._replace(offer=offer, answer=answer)
    fields = dict(_alike[alike] if size + more <= LONGEST else _describe(alike))
    fields["sni"] = h.server_name(agreed.offer) if agreed.offer else None
    return fields


def _lasting(hello: Hello | None) -> tuple[Hello | None, int]:
    """A hello without what is of one connection only, and how many bytes its extensions have."""
    if hello is None:
        return None, 0
    kept = tuple([(kind, data[: LASTING.get(kind, 0)]) for kind, data in hello.extensions])
    return Hello(hello.version, b"", b"", hello.suites, kept, hello.cut), sum([len(data) for _, data in kept])


def _describe(agreed: Agreed) -> dict[str, Any]:
    """All but the name of the server."""
    fields: dict[str, Any] = {**_offered(agreed.offer, agreed.transport), **_chosen(agreed)}
    fields["source"], fields["transport"] = "wire", TRANSPORTS[agreed.transport]
    fields["success"] = False if agreed.failed else None
    fields["hello_retry"] = agreed.retried
    fields["truncated"] = not agreed.whole
    return fields


_alike = Known(_describe, MAX_KNOWN)


def _offered(offer: Hello | None, transport: str) -> dict[str, Any]:
    if offer is None:
        names = ("ech", "offered_alpn", "offered_versions", "offered_groups", "ja3", "ja4")
        return dict.fromkeys(names)
    return {
        "ech": offer.extension(h.ENCRYPTED_HELLO) is not None,
        "offered_alpn": tuple(map(text, h.protocols(offer))),
        "offered_versions": tuple(map(version_name, h.offered_versions(offer))),
        "offered_groups": tuple(map(group_name, h.offered_groups(offer))),
        # Of a part they would be those of somebody else.
        "ja3": None if offer.cut else ja3(offer),
        "ja4": None if offer.cut else ja4(offer, transport),
    }


def _chosen(agreed: Agreed) -> dict[str, Any]:
    answer, certificate, exchange = agreed.answer, agreed.certificate, agreed.exchange
    fields: dict[str, Any] = dict.fromkeys(
        ("version", "suite", "group", "signature_scheme", "alpn", "resumed", "post_quantum", "post_quantum_reason",
         "certificate_subject", "certificate_issuer", "certificate_key", "certificate_signature",
         "certificate_not_before", "certificate_not_after", "grade", "grade_reason", "evidence")
    )  # fmt: skip
    if answer is None:
        return fields
    version, suite = h.chosen_version(answer), suite_name(answer.suites[0])
    group = exchange.number if exchange else h.chosen_group(answer)
    kind = _exchange_kind(agreed, version, group)
    protocols = h.protocols(answer)
    scheme = exchange.scheme if exchange else None
    fields.update(
        version=version_name(version),
        suite=suite,
        group=exchange.group if exchange else None if group is None else group_name(group),
        signature_scheme=None if scheme is None else scheme_name(scheme),
        alpn=text(protocols[0]) if protocols else None,
        resumed=agreed.resumed if is_old(version) else answer.extension(h.PRE_SHARED_KEY) is not None,
        post_quantum=kind,
        post_quantum_reason=_reason(agreed, kind),
        evidence=NEGOTIATED,
    )
    if certificate:
        fields.update(
            certificate_subject=certificate.subject,
            certificate_issuer=certificate.issuer,
            certificate_key=certificate.key,
            certificate_signature=certificate.signature,
            certificate_not_before=certificate.not_before,
            certificate_not_after=certificate.not_after,
        )
    fields["grade"], fields["grade_reason"] = grade_tls(
        Negotiated(
            version,
            suite,
            group,
            exchange.bits if exchange else 0,
            _graded_kind(agreed, kind, version, suite),
            only_shared_key=kind == PQ_NONE and not is_old(version),
            scheme=scheme,
            key=certificate.key if certificate else "",
            key_bits=certificate.bits if certificate else 0,
            signature=certificate.signature if certificate else "",
        )
    )
    return fields


def _exchange_kind(agreed: Agreed, version: int, group: int | None) -> str | None:
    """What kind of key exchange there was; None if that is not known."""
    assert agreed.answer is not None
    if group is not None:
        return exchange_kind(group)
    if not is_old(version):
        return PQ_NONE if agreed.answer.extension(h.PRE_SHARED_KEY) is not None else None
    if agreed.resumed or suite_name(agreed.answer.suites[0]).startswith("TLS_PSK_"):
        return PQ_NONE
    if agreed.resumed is None:
        return None  # nobody knows whether there was one
    # RSA, or numbers: nothing that TLS 1.2 has is anything else.
    return PQ_CLASSICAL


def _graded_kind(agreed: Agreed, kind: str | None, version: int, suite: str) -> str | None:
    """As it counts for the grade; None if too little of the exchange was seen to grade it."""
    if kind == PQ_NONE and is_old(version) and "PSK" not in suite:
        return PQ_CLASSICAL  # that of an earlier handshake was no other: before TLS 1.3 all are classical
    unseen = kind == PQ_CLASSICAL and agreed.exchange is None and is_old(version) and is_ephemeral(suite)
    return None if unseen else kind


def _reason(agreed: Agreed, kind: str | None) -> str | None:
    """Who kept a key exchange classical; None if nobody did, or it is not known."""
    if kind != PQ_CLASSICAL or agreed.offer is None:
        return None
    if any(exchange_kind(group) in (PQ_HYBRID, PQ_PURE) for group in h.offered_groups(agreed.offer)):
        return NOT_CHOSEN
    return None if agreed.offer.cut else NOT_OFFERED
