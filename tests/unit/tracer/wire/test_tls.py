"""Rules of TLS that no program at hand shows."""

from __future__ import annotations

import json

import pytest

from tests.support import hellos as h
from tests.unit.tracer import events
from tracer.sinks.jsonl import line_writer
from tracer.wire.talk import UNDECIDED, read_datagrams, read_talk

PQ, X25519, KYBER, UNKNOWN = 0x11EC, 29, 0x6399, 0x2F99


def fields(client, server, *, complete=True):
    found = read_talk(h.record(client) + h.record(b"\1", 20), h.record(server))
    assert found.complete == complete
    return found.fields


@pytest.mark.parametrize(
    ("offered", "chosen", "kind", "reason", "grade"),
    [
        ((PQ, X25519), PQ, "hybrid", None, "hybrid"),
        ((PQ, X25519), X25519, "classical", "server did not choose", "quantum-vulnerable"),
        ((X25519,), X25519, "classical", "client did not offer", "quantum-vulnerable"),
        ((0x0201,), 0x0201, "pure", None, "pq-safe"),
        ((KYBER,), KYBER, "hybrid", None, "hybrid"),
        ((UNKNOWN,), UNKNOWN, None, None, None),
        ((19,), 19, "classical", "client did not offer", "broken"),
    ],
)
def test_post_quantum_and_who_kept_it_classical(offered, chosen, kind, reason, grade):
    """By the group, and by what was offered; of a group without a name nothing is said."""
    found = fields(
        h.client_hello(h.versions(0x0304), h.groups(0x0A0A, *offered)), h.server_hello(h.VERSION_13, h.share(chosen))
    )
    assert (found["post_quantum"], found["post_quantum_reason"], found["grade"]) == (kind, reason, grade)
    assert len(found["offered_groups"]) == len(offered)
    if chosen == UNKNOWN:
        assert found["group"] == "0x2F99"
    if chosen == KYBER:
        assert "draft" in found["grade_reason"]


def test_psk_alone_is_still_tls_1_3():
    """No key share: a shared key and nothing else."""
    found = fields(
        h.client_hello(h.versions(0x0304), h.groups(PQ)), h.server_hello(h.VERSION_13, (41, b"\0\0"))
    )  # fmt: skip
    assert (found["version"], found["resumed"], found["group"]) == ("TLS 1.3", True, None)
    assert (found["post_quantum"], found["post_quantum_reason"], found["grade"]) == ("none", None, "weak")


def test_psk_with_a_key_share_is_resumed_and_has_a_group():
    """The usual kind of resumption."""
    found = fields(
        h.client_hello(h.versions(0x0304), h.groups(PQ)), h.server_hello(h.VERSION_13, h.share(PQ), (41, b"\0\0"))
    )
    assert (found["resumed"], found["group"], found["grade"]) == (True, "X25519MLKEM768", "hybrid")


def test_version_is_that_of_the_extension():
    """The head says TLS 1.2 forever; without the extension it is right, and what has no name is a number."""
    offer = h.client_hello(h.versions(0x1A1A, 0x0304, 0x0303))
    assert fields(offer, h.server_hello(h.VERSION_13, h.share(X25519)))["version"] == "TLS 1.3"
    assert fields(offer, h.server_hello(), complete=False)["version"] == "TLS 1.2"
    draft = fields(offer, h.server_hello((43, b"\x7f\x1c"), h.share(X25519)))
    assert draft["version"] == "0x7F1C"
    assert draft["offered_versions"] == ("TLS 1.3", "TLS 1.2")
    assert fields(h.client_hello(), h.server_hello(), complete=False)["offered_versions"] == ("TLS 1.2",)


def test_unknown_version_without_a_group_is_not_graded():
    """It may be anything."""
    found = fields(h.client_hello(), h.server_hello((43, b"\x7f\x1c")))
    assert (found["post_quantum"], found["grade"]) == (None, None)


def test_retry_is_not_the_answer():
    """Until the second ServerHello, nothing is chosen; what stands between does not matter."""
    offer = h.client_hello(h.versions(0x0304), h.groups(X25519, 23))
    first, ccs = h.record(h.retry(h.VERSION_13, (51, h.numbers(23)))), h.record(b"\1", 20)
    half = read_talk(h.record(offer), first + ccs)
    assert not half.complete
    assert (half.fields["hello_retry"], half.fields["suite"], half.fields["group"]) == (True, None, None)
    up = h.record(offer) + ccs + h.record(offer)
    whole = read_talk(up, first + ccs + h.record(h.server_hello(h.VERSION_13, h.share(23))) + h.record(b"x" * 40, 23))
    assert whole.complete
    assert (whole.fields["hello_retry"], whole.fields["group"]) == (True, "secp256r1")


ID = bytes(range(32))
CHANGE = h.record(b"\1", 20)


@pytest.mark.parametrize("offer", [b"", h.record(h.client_hello(session=ID))], ids=["alone", "both"])
@pytest.mark.parametrize(
    ("after", "resumed", "kind"),
    [
        (b"", None, None),
        (h.record(h.message(4, bytes(8))), None, None),
        (h.record(b"\2\x28", 21), None, None),
        (CHANGE, True, "none"),
        (h.record(h.message(4, bytes(8))) + CHANGE, True, "none"),
        (h.record(h.message(14, b"")), False, "classical"),
    ],
    ids=["nothing", "ticket", "alert", "change", "ticket-change", "done"],
)
def test_resumed_up_to_tls_1_2_is_said_by_what_follows_the_hello(offer, after, resumed, kind):
    """Not by the session's id, which some servers say again whatever it is; and what is unknown decides no kind."""
    found = read_talk(offer, h.record(h.server_hello(suite=0xC02F, session=ID)) + after).fields
    assert (found["version"], found["resumed"], found["post_quantum"]) == ("TLS 1.2", resumed, kind)


@pytest.mark.parametrize(("number", "resumed"), [(1, True), (0, None), (4, None)])
def test_resumed_over_datagrams_is_said_if_none_is_missing(number, resumed):
    """Records have numbers: between the hello and the end there may have been a certificate."""

    def record(kind, number, body):
        return bytes((kind, 0xFE, 0xFD, 0, 0)) + number.to_bytes(6, "big") + h.u16(body)

    answer = h.server_hello(suite=0xC02F, version=0xFEFD, session=ID)
    answer = answer[:4] + bytes(5) + answer[1:4] + answer[4:]
    found = read_datagrams([record(22, 0, answer), record(20, number, b"\1")], []).fields
    assert (found["version"], found["resumed"]) == ("DTLS 1.2", resumed)


def test_alert_ends_it():
    """The server has refused: nothing is negotiated, and nothing is graded."""
    found = read_talk(h.record(h.client_hello(h.sni(b"a.example"))), h.record(b"\2\x28", 21))
    assert found.complete
    names = ("success", "version", "suite", "grade", "evidence", "sni")
    assert [found.fields[name] for name in names] == [False, None, None, None, None, "a.example"]


def test_alert_without_any_hello_is_no_handshake():
    """A stream may begin with anything."""
    assert read_talk(b"hello there", h.record(b"\1\0", 21)) == UNDECIDED


def test_server_that_speaks_something_else_has_negotiated_nothing():
    """HTTP in answer to a hello."""
    found = read_talk(h.record(h.client_hello()), b"HTTP/1.1 400 Bad Request\r\n")
    assert found.complete
    assert (found.fields["success"], found.fields["version"], found.fields["evidence"]) == (False, None, None)


@pytest.mark.parametrize(
    ("suite", "grade", "reason"),
    [
        (0x0000, "broken", "no encryption"), (0x0004, "broken", "RC4"), (0x0009, "broken", "DES"),
        (0x0003, "broken", "export"), (0x0034, "broken", "no authentication"), (0x000A, "weak", "3DES"),
        (0xC013, "weak", "CBC"), (0x009C, "weak", "no forward secrecy"), (0xC0B4, "broken", "no encryption"),
        (0xC02F, None, ""), (0x009E, None, ""), (0x1304, None, ""),  # the exchange, which decides, was not seen
    ],
)  # fmt: skip
def test_grade_of_a_suite(suite, grade, reason):
    """The worst thing decides, and says so."""
    found = fields(h.client_hello(suites=(suite,)), h.server_hello(suite=suite) + h.message(14, b""))
    assert found["grade"] == grade
    assert reason in (found["grade_reason"] or "")


@pytest.mark.parametrize(("name", "shown"), [(b"a\x1b[2J\n", "a\x1b[2J\n"), (b"\xff\x00", "\udcff\x00"), (b"", None)])
def test_hostile_names_are_text_and_never_raw(name, shown):
    """Names of servers and protocols are whatever the client says; lines of output stay lines."""
    hello = h.client_hello(h.sni(name), h.alpn(name or b"x"), h.versions(0x0304))
    found = fields(hello, h.server_hello(h.VERSION_13, h.share(X25519)))
    assert found["sni"] == shown
    event = events.tls_on_the_wire(**found, exe=None, container=None)
    line = line_writer(event.kind)(event.fields)
    assert line[:-1].isprintable()
    assert line.isascii()
    assert json.loads(line)["sni"] == shown
    assert json.loads(line)["offered_alpn"] == [shown or "x"]


def test_hello_that_is_cut_gives_what_is_there():
    """Names, but no fingerprint: that would be somebody else's; and no reason that what is missing could deny."""
    data = h.record(h.client_hello(h.sni(b"a.example"), h.groups(X25519), (21, bytes(2000))))
    found = read_talk(data[:400], h.record(h.server_hello(h.VERSION_13, h.share(X25519))))
    assert not found.complete
    assert (found.fields["sni"], found.fields["ja4"], found.fields["truncated"]) == ("a.example", None, True)
    assert found.fields["post_quantum_reason"] is None


def test_encrypted_hello_is_said():
    """The name that can be read is the outer one."""
    found = fields(h.client_hello(h.sni(b"outer.example"), (0xFE0D, bytes(8))), h.server_hello(), complete=False)
    assert (found["ech"], found["sni"]) == (True, "outer.example")
