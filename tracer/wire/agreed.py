# SPDX-License-Identifier: MIT
"""From what both sides said to the values of a `tls_handshake` event: the same for TLS, DTLS and QUIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tracer.catalog.grades import PQ_CLASSICAL, PQ_HYBRID, PQ_NONE, PQ_PURE, Negotiated, exchange_kind, grade_tls
from tracer.catalog.groups import group_name
from tracer.catalog.signatures import scheme_name
from tracer.catalog.suites import suite_name
from tracer.catalog.versions import VERSIONS, is_old, version_name
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


# What of a client's extensions is the same in each of its connections, and says something; of others, that they are
# there is enough. Clients, and hostile ones, choose how many of these there are: not many are remembered.
LASTING = frozenset((h.GROUPS, h.POINT_FORMATS, h.SIGNATURES, h.ALPN, h.VERSIONS))
MAX_SHAPES, MAX_GRADES, LONGEST = 256, 512, 1024


@dataclass
class Agreed:
    """What is known of a handshake.

    Attributes:
        offer: the first ClientHello.
        answer: the ServerHello that is no HelloRetryRequest, if all of it is there.
        retried: whether there was a HelloRetryRequest.
        failed: whether one side has given up.
        resumed: up to TLS 1.2: whether the keys are those of an earlier handshake.
        certificate: the server's, up to TLS 1.2.
        exchange: the server's part of the key exchange, up to TLS 1.2.
    """

    offer: Hello | None
    answer: Hello | None
    retried: bool = False
    failed: bool = False
    resumed: bool | None = None
    certificate: Certificate | None = None
    exchange: Exchange | None = None


def describe(agreed: Agreed, *, whole: bool, transport: str = "t") -> dict[str, Any]:
    """The values of the event by their names.

    Args:
        whole: whether nothing is missing.
        transport: as in `ja4`.
    """
    shape = _shape(agreed.offer, transport) if agreed.offer else None
    fields = _chosen(agreed, shape)
    if agreed.offer and shape:
        fields.update(shape.fields, sni=h.server_name(agreed.offer))
    fields["source"], fields["transport"] = "wire", TRANSPORTS[transport]
    fields["success"] = False if agreed.failed else None
    fields["hello_retry"] = agreed.retried
    fields["truncated"] = not whole
    return fields


class Shape(NamedTuple):
    """What all hellos of a client have in common.

    Attributes:
        fields: the values of the event; do not change them.
        reason: who kept the key exchange classical, if it is.
    """

    fields: dict[str, Any]
    reason: str | None


def _shape(offer: Hello, transport: str) -> Shape:
    """The shape of a hello: worked out once for all that differ in random numbers, names and keys alone."""
    lasting = tuple([(kind, data if kind in LASTING else b"") for kind, data in offer.extensions])
    key = offer._replace(random=b"", session=b"", extensions=lasting), transport
    return _shapes[key] if sum([len(data) for _, data in lasting]) <= LONGEST else _work_out(key)


def _work_out(key: tuple[Hello, str]) -> Shape:
    offer, transport = key
    groups = h.offered_groups(offer)
    fields = {
        "ech": offer.extension(h.ENCRYPTED_HELLO) is not None,
        "offered_alpn": tuple(map(text, h.protocols(offer))),
        "offered_versions": tuple(map(version_name, h.offered_versions(offer))),
        "offered_groups": tuple(map(group_name, groups)),
        # Of a part they would be those of somebody else.
        "ja3": None if offer.cut else ja3(offer),
        "ja4": None if offer.cut else ja4(offer, transport),
    }
    if any(exchange_kind(group) in (PQ_HYBRID, PQ_PURE) for group in groups):
        return Shape(fields, NOT_CHOSEN)
    return Shape(fields, None if offer.cut else NOT_OFFERED)


_shapes = Known(_work_out, MAX_SHAPES)
_grades = Known(grade_tls, MAX_GRADES)


def _chosen(agreed: Agreed, shape: Shape | None) -> dict[str, Any]:
    answer, certificate, exchange = agreed.answer, agreed.certificate, agreed.exchange
    fields: dict[str, Any] = dict.fromkeys(
        ("sni", "ech", "offered_alpn", "offered_versions", "offered_groups", "ja3", "ja4",
         "version", "suite", "group", "signature_scheme", "alpn", "resumed", "post_quantum", "post_quantum_reason",
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
        post_quantum_reason=shape.reason if shape and kind == PQ_CLASSICAL else None,
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
    fields["grade"], fields["grade_reason"] = _grades[
        Negotiated(
            version,
            suite,
            group,
            exchange.bits if exchange else 0,
            # The exchange of an earlier handshake was no other: before TLS 1.3 all are classical.
            PQ_CLASSICAL if kind == PQ_NONE and is_old(version) and "PSK" not in suite else kind,
            only_shared_key=kind == PQ_NONE and not is_old(version),
            scheme=scheme,
            key=certificate.key if certificate else "",
            key_bits=certificate.bits if certificate else 0,
            signature=certificate.signature if certificate else "",
        )
    ]
    return fields


def _exchange_kind(agreed: Agreed, version: int, group: int | None) -> str | None:
    """What kind of key exchange there was; None if that is not known."""
    assert agreed.answer is not None
    if group is not None:
        return exchange_kind(group)
    if not is_old(version):
        return PQ_NONE if version in VERSIONS else None
    if agreed.resumed or suite_name(agreed.answer.suites[0]).startswith("TLS_PSK_"):
        return PQ_NONE
    # RSA, or numbers: nothing that TLS 1.2 has is anything else.
    return PQ_CLASSICAL
