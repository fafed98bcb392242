"""What two sides say, in part or in whole."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.wire import as_dtls, talks
from tests.support import hellos
from tracer.wire import agreed, flight
from tracer.wire.talk import UNDECIDED, Talk, WireError, read_datagrams, read_talk

TALKS = talks()
TLS = sorted(name for name in TALKS if "ssh" not in name and "dbclient" not in name)
SSH = sorted(set(TALKS) - set(TLS))


@pytest.mark.parametrize("name", TALKS)
def test_talk_is_complete_from_both_sides(name):
    """The same is known to both, but for who is who."""
    up, down = TALKS[name]
    ours, theirs = read_talk(up, down), read_talk(down, up)
    assert (ours.role, theirs.role) == ("client", "server")
    assert ours.complete
    assert theirs.complete
    assert {**ours.fields, "role": ""} == {**theirs.fields, "role": ""}
    assert ours.fields["evidence"] == "negotiated"


@pytest.mark.parametrize("name", ["new-node", "openssl-retry", "nss-1.2", "openssl-1.2-ticket", "ssh-sshd"])
def test_talk_in_part_never_says_what_the_whole_denies(name):
    """At every length of either side: what is said already stays, and complete is only what nothing can change."""
    up, down = TALKS[name]
    whole = read_talk(up, down)
    later = {"truncated", "resumed", "grade", "grade_reason", "post_quantum", "post_quantum_reason", "hello_retry"}
    cuts = [(up[:i], down) for i in range(0, len(up), 7)] + [(up, down[:i]) for i in range(0, len(down), 7)]
    for sent, received in cuts:
        part = read_talk(sent, received)
        if part.complete:
            assert part == whole
            continue
        assert part == UNDECIDED or part.fields["truncated"]
        lists = {"offered_alpn", "offered_versions", "offered_groups", "sni", "ech"}
        for key, value in part.fields.items():
            if key not in later | lists | {"group", "role"} and value is not None:
                assert value == whole.fields[key], (key, len(sent), len(received))


@pytest.mark.parametrize("name", TLS)
def test_talk_in_other_records_is_the_same(name):
    """A message may span records: here no record has more than 50 bytes."""
    both = []
    for data in TALKS[name]:
        size = int.from_bytes(data[3:5], "big")
        body, rest = data[5 : 5 + size], data[5 + size :]
        both.append(b"".join(hellos.record(body[i : i + 50]) for i in range(0, size, 50)) + rest)
    assert read_talk(*both) == read_talk(*TALKS[name])


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"GET / HTTP/1.0\r\n", b""),
        (b"", b"220 mail\r\n"),
        (b"\x16\x05\x01\0\x10\1", b""),
        (b"\x16\3\1\0\x10\x0b", b""),
    ],
)
def test_talk_of_something_else_is_none(sent, received):
    """There is nothing to wait for."""
    assert read_talk(sent, received) is None


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\3", b"\x16\3\1\1\0", b"S", b"SSH"])
def test_talk_that_may_become_one_is_undecided(data):
    """Too few bytes to tell."""
    assert read_talk(data, b"") == UNDECIDED
    assert read_talk(b"", data) == UNDECIDED


@pytest.mark.parametrize(
    "data",
    [
        hellos.record(hellos.message(1, b"\3\3" + bytes(10))),
        hellos.record(hellos.client_hello()[:-2] + b"\xff\xff"),
        hellos.record(hellos.client_hello()) + b"no record",
        b"SSH-" + b"x" * 300,
        b"SSH-2.0-x\r\n" + bytes(4),
        b"SSH-2.0-x\r\n" + b"\0\0\0\x10\4\x15" + bytes(14),
    ],
)
def test_talk_that_goes_wrong_is_an_error(data):
    """It began like a protocol."""
    with pytest.raises(WireError):
        read_talk(data, b"")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_talk_of_any_bytes_has_an_answer(sent, received):
    """A result, or the one error."""
    try:
        found = read_talk(sent, received)
    except WireError:
        return
    assert found is None or isinstance(found, Talk)


@pytest.mark.parametrize("piece", [100, 1200])
@pytest.mark.parametrize("name", ["nss-1.2", "openssl-1.2-psk", "new-node"])
def test_datagrams_of_dtls_in_any_order(name, piece):
    """Fragments that come twice and backwards; what is said is what TLS says."""
    up, down = (as_dtls(data, piece) for data in TALKS[name])
    stream = read_talk(*TALKS[name])
    for sent, received in ((up, down), (up[::-1] * 2, down[::-1] * 2)):
        found = read_datagrams(sent, received)
        assert (found.kind, found.role) == ("tls_handshake", "client")
        assert found.fields["transport"] == "DTLS"
        for key in ("suite", "group", "sni", "certificate_key", "signature_scheme", "offered_groups", "post_quantum"):
            assert found.fields[key] == stream.fields[key]
    assert read_datagrams(down, up).role == "server"


def test_datagrams_with_a_gap_are_truncated():
    """A fragment is lost."""
    up, down = (as_dtls(data, 100) for data in TALKS["nss-1.2"])
    found = read_datagrams(up, [*down[:1], *down[3:]])
    assert not found.complete
    assert found.fields["truncated"]
    assert found.fields["certificate_key"] is None


def test_datagrams_of_something_else_are_none():
    """DNS, or nothing."""
    assert read_datagrams([b"\x12\x34\1\0\0\1\0\0\0\0\0\0"], []) is None
    assert read_datagrams([], []) == UNDECIDED


@pytest.mark.parametrize("name", TALKS)
def test_talk_says_the_same_whatever_was_read_before(name):
    """What is remembered of others is not taken for what this one says, and nobody changes it."""
    sent, received = TALKS[name]
    for known in (agreed._alike, flight._certificates):
        known.clear()
    alone = read_talk(sent, received)
    expected = copy.deepcopy(alone)
    alone.fields.update(dict.fromkeys(alone.fields, "changed"))
    for pair in TALKS.values():
        read_talk(*pair), read_talk(*pair[::-1])
    assert read_talk(sent, received) == expected


@pytest.mark.parametrize(
    ("usual", "other", "changed"),
    [
        (hellos.groups(29), hellos.groups(29, 23), "offered_groups"),
        (hellos.alpn(b"h2"), hellos.alpn(b"h3"), "offered_alpn"),
        (hellos.schemes(0x0403), hellos.schemes(0x0804), "ja4"),
        (hellos.sni(b"a.example"), hellos.sni(b"b.example"), "sni"),
        (hellos.versions(0x0304), hellos.versions(0x0304, 0x0303), "offered_versions"),
        ((11, b"\1\0"), (11, b"\2\0\1"), "ja3"),
    ],
)
def test_clients_that_differ_in_one_thing_are_told_apart(usual, other, changed):
    """Each extension that says something; what does not depend on it stays."""
    answer = hellos.record(hellos.server_hello(hellos.VERSION_13, hellos.share(29)))
    one, two = (read_talk(hellos.record(hellos.client_hello(each)), answer).fields for each in (usual, other))
    assert changed in {name for name in one if one[name] != two[name]} <= {changed, "ja3", "ja4"}


def test_servers_that_differ_in_one_thing_are_told_apart():
    """The same client, and another group, version, suite, or protocol."""
    client = hellos.record(hellos.client_hello(hellos.versions(0x0304), hellos.groups(29, 23)))
    parts = {"group": hellos.share(29), "version": hellos.VERSION_13, "alpn": hellos.alpn(b"h2")}
    one = read_talk(client, hellos.record(hellos.server_hello(*parts.values()))).fields
    for name, other in (("group", (hellos.share(23),)), ("version", ()), ("alpn", (hellos.alpn(b"h3"),))):
        found = [each for key, part in parts.items() for each in (other if key == name else (part,))]
        assert read_talk(client, hellos.record(hellos.server_hello(*found))).fields[name] != one[name]
    other = hellos.server_hello(*parts.values(), suite=0x1302)
    assert read_talk(client, hellos.record(other)).fields["suite"] != one["suite"]


def test_what_is_remembered_has_a_bound():
    """Strangers choose what they send: neither the number nor the size of it grows."""
    for number in range(2 * agreed.MAX_KNOWN):
        read_talk(hellos.record(hellos.client_hello(hellos.alpn(b"%d" % number))), b"")
    assert 0 < len(agreed._alike) <= agreed.MAX_KNOWN
    agreed._alike.clear()
    read_talk(hellos.record(hellos.client_hello(hellos.alpn(*[b"x" * 200] * 6))), b"")
    assert not agreed._alike
