"""Pieces of connections, in any order, become one event each."""

from __future__ import annotations

import random
import socket

import pytest

from tests.support.pieces import CLIENT, END, ONE, OTHER, PID, SERVER, feed, piece
from tracer.wire import flows
from tracer.wire.flow import MAX_PIECES, MAX_WAY_BYTES, Way
from tracer.wire.flows import CONNECTED, OWNED, QUIET_NS, SENT, WANTED, Flows, address_text
from tracer.wire.reader import WireError
from tracer.wire.talk import read_talk


def test_flows_connection_in_order_is_told_when_it_is_complete(said):
    """By the piece that completes it, and only once; from the side of the client."""
    found = Flows(read_talk)
    assert found.add(piece(CLIENT, said[0])) == []
    (told,) = found.add(piece(SERVER, said[1], flags=OTHER, time=2000, wall_ns=6000))
    assert found.add(piece(CLIENT, END, len(said[0]))) == []
    assert found.close() == []
    fields = told.fields
    assert told.kind == "tls_handshake"
    assert (fields["time"], fields["wall_ns"], fields["truncated"]) == (2000, 6000, False)
    assert (fields["role"], fields["pid"], fields["peer_pid"], fields["peer_process"]) == ("client", 100, 200, "p200")
    assert (fields["local_address"], fields["local_port"]) == ("10.0.0.1", 40000)
    assert (fields["peer_address"], fields["peer_port"]) == ("10.0.0.2", 443)
    assert (fields["sni"], fields["certificate_subject"]) == ("flows.test", "CN=flows.test")
    assert found.held_bytes == 0


def test_flows_client_that_refuses_the_certificate_is_told_as_failed(said):
    """All that can be agreed on has been, and the client says no before it encrypts."""
    hello = said[0][: -len(END)]
    found = Flows(read_talk)
    assert found.add(piece(CLIENT, hello)) == []
    assert found.add(piece(SERVER, said[1], flags=OTHER)) == []
    (told,) = found.add(piece(CLIENT, b"\x15\3\3\0\2\2\x30", len(hello)))
    assert (told.fields["success"], told.fields["truncated"]) == (False, False)
    assert told.fields["certificate_subject"] == "CN=flows.test"


def test_flows_client_that_says_nothing_more_is_told_at_the_end(said):
    """Then nothing is missing but whether it was content."""
    found = Flows(read_talk)
    for each in (piece(CLIENT, said[0][: -len(END)]), piece(SERVER, said[1], flags=OTHER)):
        assert found.add(each) == []
    (told,) = found.close()
    assert (told.fields["success"], told.fields["truncated"]) == (None, False)


def test_flows_of_processes_that_user_space_chooses_are_told_by_them(said):
    """Several pids: the kernel wants all, the user the server alone."""
    found = Flows(read_talk, asked=lambda owner: owner["pid"] == PID[SERVER])
    told = [
        each for record in (piece(CLIENT, said[0]), piece(SERVER, said[1], flags=OTHER)) for each in found.add(record)
    ]
    assert [(each.fields["pid"], each.fields["role"], each.fields["peer_pid"]) for each in told] == [
        (200, "server", 100)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_flows_pieces_in_any_order_cut_anywhere_and_sent_twice_say_the_same(said, seed):
    """Reordered, retransmitted with other borders, overlapping."""
    dice = random.Random(seed)
    pieces = []
    for source, data, flags in ((CLIENT, said[0], ONE), (SERVER, said[1], OTHER)):
        for _ in range(dice.randint(1, 2)):
            cuts = sorted({0, len(data), *(dice.randrange(len(data)) for _ in range(dice.randint(0, 12)))})
            for begin, end in zip(cuts, cuts[1:]):
                pieces.append(piece(source, data[max(0, begin - dice.randint(0, 9)) : end], 0, flags))
                pieces[-1]["offset"] = end - len(pieces[-1]["data"])
    dice.shuffle(pieces)
    told, left, _ = feed(pieces)
    plain, _, _ = feed([piece(CLIENT, said[0]), piece(SERVER, said[1], flags=OTHER)])
    assert [each.fields for each in told] == [each.fields for each in plain]
    assert left == []


def test_flows_each_byte_alone_is_told_once(said):
    """As with TCP_NODELAY and one write() a byte."""
    pieces = [piece(CLIENT, said[0][at : at + 1], at) for at in range(len(said[0]))]
    pieces += [piece(SERVER, said[1][at : at + 1], at, OTHER) for at in range(len(said[1]))]
    told, left, _ = feed(pieces)
    assert len(told) == 1
    assert left == []


@pytest.mark.parametrize("side", ["client", "server"])
def test_flows_one_end_elsewhere_is_told_by_the_one_that_is_here(said, side):
    """What it received has no process; what it sent has its own."""
    received, sent = 0, SENT | OWNED | WANTED
    if side == "client":
        pieces = [piece(CLIENT, said[0], flags=sent | CONNECTED), piece(SERVER, said[1], flags=received | CONNECTED)]
    else:
        pieces = [piece(CLIENT, said[0], flags=received), piece(SERVER, said[1], flags=sent)]
    (told,), _, _ = feed(pieces)
    here = CLIENT if side == "client" else SERVER
    assert (told.fields["role"], told.fields["pid"], told.fields["peer_pid"]) == (side, PID[here], None)
    assert told.fields["local_port"] == here[1]


@pytest.mark.parametrize(
    ("client", "server", "role"),
    [(WANTED, WANTED, "client"), (WANTED, 0, "client"), (0, WANTED, "server"), (0, 0, None)],
)
def test_flows_side_that_is_wanted_tells_it(said, client, server, role):
    """The client, if both are; nobody, if none is."""
    told, left, _ = feed(
        [piece(CLIENT, said[0], flags=ONE & ~WANTED | client), piece(SERVER, said[1], flags=OTHER & ~WANTED | server)]
    )
    assert [each.fields["role"] for each in told] == ([role] if role else [])
    assert left == []


def test_flows_without_an_owner_nothing_is_told(said):
    """A hello that nobody answered, from elsewhere: no process can be named."""
    told, left, found = feed([piece(CLIENT, said[0], flags=0)])
    assert told == left == []
    assert found.unread == 1


def test_flows_owner_that_comes_late_is_waited_for(said):
    """An interrupt sent the first packet: the next one tells the process."""
    found = Flows(read_talk)
    assert found.add(piece(CLIENT, said[0], flags=SENT | CONNECTED)) == []
    assert found.add(piece(SERVER, said[1], flags=CONNECTED)) == []
    (told,) = found.add(piece(CLIENT, b"\x16\3\3", len(said[0]), SENT | CONNECTED | OWNED | WANTED))
    assert (told.fields["pid"], told.fields["truncated"]) == (100, False)
    assert found.unread == 0


def test_flows_gap_is_told_as_truncated(said):
    """The middle of the answer never came."""
    told, left, _ = feed(
        [piece(CLIENT, said[0]), piece(SERVER, said[1][:200], 0, OTHER), piece(SERVER, said[1][300:], 300, OTHER)]
    )
    assert told == []
    (one,) = left
    assert one.fields["truncated"] is True
    assert one.fields["version"] == "TLS 1.2"
    assert one.fields["certificate_subject"] is None


def test_flows_quiet_one_is_told_after_its_time_and_not_before(said):
    """Five seconds from its last piece; then it is forgotten."""
    found = Flows(read_talk)
    found.add(piece(CLIENT, said[0], time=1000))
    assert found.expire(999 + QUIET_NS) == []
    (one,) = found.expire(1000 + QUIET_NS)
    assert one.fields["truncated"] is True
    assert one.fields["suite"] is None
    assert len(found) == found.held_bytes == 0


def test_flows_same_addresses_again_is_another_connection(said):
    """Its first byte has another number: what was there is told, and the new one begins."""
    told, left, _ = feed(
        [piece(CLIENT, said[0]), piece(CLIENT, said[0], base=78), piece(SERVER, said[1], flags=OTHER, base=5)]
    )
    assert [each.fields["truncated"] for each in told] == [True, False]
    assert left == []


@pytest.mark.parametrize(
    ("begin", "answer"), [(b"GET / HTTP", b"HTTP/1.1 200"), (b"\x16\3\1\0\5hello", b"\x16\3\1\0\5hello")]
)
def test_flows_what_is_none_of_ours_is_dropped(begin, answer):
    """And counted, and its bytes are not kept."""
    told, left, found = feed([piece(CLIENT, begin), piece(SERVER, answer, flags=OTHER)])
    assert told == left == []
    assert found.unread == 1
    assert found.held_bytes == 0


def test_flows_memory_is_bounded(said, monkeypatch):
    """The oldest goes first, and is told; the sums add up."""
    monkeypatch.setattr(flows, "MAX_FLOWS", 100)
    monkeypatch.setattr(flows, "MAX_BYTES", 64 * len(said[0]))
    found = Flows(read_talk)
    told = []
    for port in range(500):
        told += found.add(piece((CLIENT[0], CLIENT[1]), said[0], from_port=port))
        assert len(found) <= 100
        assert found.held_bytes <= 64 * len(said[0])
    assert found.evicted == len(told) == 500 - 64
    assert [each.fields["local_port"] for each in told] == list(range(500 - 64))
    assert len(found.close()) == 64


def test_flows_pieces_that_never_join_are_bounded():
    """A hostile peer sends every second byte."""
    way = Way()
    for at in range(1, 200_001, 2):
        way.add(at, b"x")
    assert way.size <= MAX_PIECES
    for at in range(0, 200_000, 1000):
        way.add(at, bytes(1000))
    assert way.size <= MAX_WAY_BYTES + MAX_PIECES


def test_flows_reader_that_fails_is_not_fatal(said):
    """Its one kind of error ends the flow."""

    def broken(sent, received, role):
        raise WireError("no")

    found = Flows(broken)
    assert found.add(piece(CLIENT, said[0])) == []
    assert found.add(piece(SERVER, said[1], flags=OTHER)) == []
    assert found.unread == 1
    assert found.close() == []


def test_flows_datagrams_come_as_they_were_sent():
    """One record may hold several; the same number is the same one; the order is theirs."""
    seen = []

    def read(sent, received):
        seen.append((list(sent), list(received)))

    found = Flows(read_talk, read)
    udp = {"protocol": socket.IPPROTO_UDP, "base": 0}
    found.add(piece(CLIENT, b"cccc", 2, **udp))
    found.add(piece(CLIENT, b"aabbx", 0, segment=2, **udp))
    found.add(piece(CLIENT, b"aabbx", 0, segment=2, **udp))
    found.add(piece(SERVER, b"dd", 0, OTHER, **udp))
    assert seen == [([b"aa", b"bb", b"x", b"cccc"], [b"dd"])]


def test_flows_addresses_are_written_as_usual():
    """Of both families."""
    assert address_text(socket.AF_INET, CLIENT[0]) == "10.0.0.1"
    assert address_text(socket.AF_INET6, bytes(15) + b"\1") == "::1"
