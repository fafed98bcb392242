"""What the two sockets of a connection tell from network namespaces of their own becomes one event."""

from __future__ import annotations

import itertools
import socket

import pytest

from tests.support.pieces import CLIENT, SERVER, feed, piece
from tracer.wire import flows
from tracer.wire.flows import CONNECTED, OWNED, SENT, TOLD_NS, WANTED, Flows
from tracer.wire.talk import read_datagrams, read_talk

OWN = SENT | OWNED | WANTED
HERE, THERE = 1, 2
BASE, BACK = 77, 0xFFFFFFF0


def between(said, here=HERE, there=THERE, base=BASE, back=BACK, pids=(100, 200)):
    """What both sockets of a connection tell, in the order in which it happens."""
    up, down = {"base": base, "back": back}, {"base": back, "back": base}
    return [
        piece(CLIENT, said[0], flags=OWN | CONNECTED, space=here, **up, pid=pids[0]),
        piece(CLIENT, said[0], flags=0, space=there, **up),
        piece(SERVER, said[1], flags=OWN, space=there, **down, pid=pids[1]),
        piece(SERVER, said[1], flags=CONNECTED, space=here, **down),
    ]


def sides(told):
    return [
        (each.fields["role"], each.fields["pid"], each.fields["peer_pid"], each.fields["truncated"]) for each in told
    ]


def test_two_namespaces_are_one_connection(said):
    """Told once, when it is complete, from the side of the client."""
    told, left, found = feed(between(said))
    assert sides(told) == [("client", 100, 200, False)]
    assert (left, found.unread, found.held_bytes) == ([], 0, 0)
    fields = told[0].fields
    assert (fields["local_address"], fields["local_port"]) == ("10.0.0.1", 40000)
    assert (fields["peer_address"], fields["peer_port"], fields["peer_process"]) == ("10.0.0.2", 443, "p200")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_whatever_the_order_it_is_one(said, order):
    """And nobody but these two has a part in it."""
    pieces = between(said)
    told, left, _ = feed([pieces[number] for number in order])
    assert len(told) == 1
    assert left == []
    assert sides(told)[0] in [("client", 100, 200, False), ("client", 100, None, False), ("server", 200, None, False)]


def test_copies_of_what_was_told_are_no_second_event(said):
    """As long as it is remembered, under each of its names; then nothing of it is left."""
    found = Flows(read_talk)
    pieces = between(said)
    assert len([told for record in pieces * 3 for told in found.add(record)]) == 1
    assert len(found) == 0
    assert found.names == 3
    found.expire(1000 + TOLD_NS)
    assert found.names == 0


def test_same_addresses_in_namespaces_that_do_not_meet_are_two(said):
    """At the same time, piece by piece."""
    one = between(said)
    other = between(said, here=3, there=4, base=BASE + 1, pids=(101, 201))
    told, left, _ = feed([record for pair in zip(one, other) for record in pair])
    assert sides(told) == [("client", 100, 200, False), ("client", 101, 201, False)]
    assert left == []


def test_same_numbers_with_other_bytes_are_two(said):
    """Another hello has another random number: nobody is said to be the peer of somebody else."""
    changed = said[0][:20] + b"changed" + said[0][27:]
    one, other = between(said), between((changed, said[1]), here=3, there=4, pids=(101, 201))
    told, left, _ = feed([record for pair in zip(one, other) for record in pair])
    assert ("client", 100, 200, False) in sides(told)
    assert not {(101, 200), (100, 201), (200, 101), (201, 100)} & {side[1:3] for side in sides(told + left)}


def test_addresses_used_again_end_what_was_there(said):
    """In both namespaces."""
    old, new = between(said)[:2], between(said, base=BASE + 5)
    told, left, _ = feed([*old, *new])
    assert sides(told) == [("client", 100, None, True), ("client", 100, 200, False)]
    assert left == []


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({100: True, 200: True}, ("client", 100, 200)),
        ({100: True, 200: False}, ("client", 100, 200)),
        ({100: False, 200: True}, ("server", 200, 100)),
        ({100: None, 200: True}, ("server", 200, 100)),
        ({100: None, 200: False}, ("client", 100, 200)),
        ({100: False, 200: None}, ("server", 200, 100)),
        ({100: None, 200: None}, ("client", 100, 200)),
        ({100: False, 200: False}, None),
    ],
)
def test_side_that_was_asked_for_tells_it(said, answers, expected):
    """None: it is not known any more where that process was; who certainly is meant goes first."""
    found = Flows(read_talk, asked=lambda owner: answers[owner["pid"]])
    told = [each for record in between(said) for each in found.add(record)]
    assert [side[:3] for side in sides(told)] == ([expected] if expected else [])


def test_peer_outside_of_our_pid_namespace_has_no_pid(said):
    """It has no number there."""
    told, _, _ = feed(between(said, pids=(100, 0)))
    assert (told[0].fields["pid"], told[0].fields["peer_pid"], told[0].fields["peer_process"]) == (100, None, None)


def test_translated_addresses_are_one_connection(said):
    """The client's are told as the client sees them, whichever of the two sorts first."""
    outside, published = (b"\xac\x11\0\1" + bytes(12), 50000), (b"\x0a\0\0\xfe" + bytes(12), 8443)
    pieces = between(said)
    for record in (pieces[0], pieces[3]):
        way = "to" if record is pieces[0] else "from"
        record[way], record[f"{way}_port"] = published
    for record in (pieces[1], pieces[2]):
        way = "from" if record is pieces[1] else "to"
        record[way], record[f"{way}_port"] = outside
    told, left, _ = feed(pieces)
    assert sides(told) == [("client", 100, 200, False)]
    fields = told[0].fields
    assert (fields["local_address"], fields["local_port"]) == ("10.0.0.1", 40000)
    assert (fields["peer_address"], fields["peer_port"]) == ("10.0.0.254", 8443)
    assert left == []


def test_relay_between_two_makes_two_connections(said):
    """The same bytes, but other numbers: they are two, and neither ends where the other one does."""
    one = between(said)
    other = between(said, here=3, there=4, base=BASE + 9, back=BACK - 9, pids=(300, 400))
    told, left, _ = feed(one + other)
    assert sides(told) == [("client", 100, 200, False), ("client", 300, 400, False)]
    assert left == []


def test_hello_that_comes_with_the_syn_has_one_number(said):
    """Only later pieces have both: the first bytes are the same."""
    pieces = between(said)
    pieces[0]["back"] = pieces[1]["back"] = 0
    told, left, _ = feed(pieces)
    assert sides(told) == [("client", 100, 200, False)]
    assert left == []


@pytest.mark.parametrize(
    ("first", "second", "flows_left"),
    [(b"r" * 64, b"r" * 64, 1), (b"r" * 64, b"s" * 64, 2), (b"r" * 63, b"r" * 63, 2)],
    ids=["same", "other", "short"],
)
def test_datagrams_are_one_connection_if_the_first_bytes_are_the_same(first, second, flows_left):
    """Too few have no random number in them."""
    found = Flows(read_talk, read_datagrams)
    udp = {"protocol": socket.IPPROTO_UDP, "base": 0}
    found.add(piece(CLIENT, first, 0, OWN, **udp, space=HERE))
    found.add(piece(CLIENT, second, 0, 0, **udp, space=THERE))
    assert len(found) == flows_left


def test_names_are_bounded(said, monkeypatch):
    """They go with what they are names of."""
    monkeypatch.setattr(flows, "MAX_FLOWS", 50)
    found = Flows(read_talk, read_datagrams)
    for number in range(1, 500):
        pieces = between(said, base=number, back=number + 1000)
        for record in pieces if number % 2 else pieces[:2]:
            for way in ("from", "to"):
                if record[way] == CLIENT[0]:
                    record[f"{way}_port"] = number
            found.add(record)
        assert found.names <= 3 * 2 * 50
    found.close()
    found.expire(1000 + TOLD_NS)
    assert found.names == 0
