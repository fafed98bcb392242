"""Rules of SSH that no program at hand shows."""

from __future__ import annotations

import pytest

from tracer.wire.talk import WireError, read_talk

STRICT = ("kex-strict-c-v00@openssh.com", "kex-strict-s-v00@openssh.com")
NEW, OLD = "mlkem768x25519-sha256", "curve25519-sha256"
AEAD, ETM = "chacha20-poly1305@openssh.com", "hmac-sha2-256-etm@openssh.com"


def side(kex, *, banner=b"SSH-2.0-x", host="ssh-ed25519", cipher="aes128-ctr", back="", mac="hmac-sha2-256",
         compression="none", after=None):  # fmt: skip
    lists = (kex, host, cipher, back or cipher, mac, mac, compression, compression, "", "")
    packet = b"\x14" + bytes(16) + b"".join(len(each).to_bytes(4, "big") + each.encode() for each in lists) + bytes(5)
    packets = [packet] if after is None else [packet, bytes((after,)) + bytes(40)]
    return banner + b"\r\n" + b"".join((len(each) + 5).to_bytes(4, "big") + b"\4" + each + bytes(4) for each in packets)


def fields(client, server):
    found = read_talk(client, server, "client")
    assert found.complete
    return found.fields


@pytest.mark.parametrize(
    ("client", "server", "kex", "kind", "reason", "grade"),
    [
        (f"{NEW},{OLD}", f"{OLD},{NEW}", NEW, "hybrid", None, "hybrid"),
        (f"{OLD},{NEW}", f"{NEW},{OLD}", OLD, "classical", "client preferred another", "quantum-vulnerable"),
        (OLD, f"{NEW},{OLD}", OLD, "classical", "client did not offer", "quantum-vulnerable"),
        (f"{NEW},{OLD}", OLD, OLD, "classical", "server did not offer", "quantum-vulnerable"),
        ("sntrup4591761x25519-sha512@tinyssh.org",) * 2 + ("sntrup4591761x25519-sha512@tinyssh.org", "hybrid", None,
                                                          "hybrid"),
        ("mlkem1024nistp384-sha384",) * 3 + ("hybrid", None, "hybrid"),
        ("diffie-hellman-group1-sha1",) * 3 + ("classical", "client did not offer", "broken"),
        ("diffie-hellman-group14-sha1",) * 3 + ("classical", "client did not offer", "weak"),
        ("own@example.org",) * 3 + (None, None, None),
        ("ext-info-c,own@example.org", "ext-info-c,other", None, None, None, None),
    ],
)  # fmt: skip
def test_kex_is_the_clients_first_that_the_server_has(client, server, kex, kind, reason, grade):
    """Markers are none; what nobody knows is not graded."""
    found = fields(side(client), side(server))
    names = ("kex", "post_quantum", "post_quantum_reason", "grade")
    assert tuple(found[name] for name in names) == (kex, kind, reason, grade)
    assert found["evidence"] == ("negotiated" if kex else None)


@pytest.mark.parametrize(
    ("options", "grade", "reason"),
    [
        ({"host": "ssh-rsa"}, "broken", "SHA-1: ssh-rsa"), ({"host": "ssh-dss"}, "broken", "DSA"),
        ({"cipher": "arcfour128"}, "broken", "RC4"), ({"cipher": "3des-cbc", "mac": ETM}, "weak", "3DES"),
        ({"cipher": "aes256-cbc", "mac": ETM}, "weak", "CBC"), ({"cipher": "aes256-cbc"}, "broken", "CVE-2008-5161"),
        ({"cipher": "aes128-ctr", "back": "aes128-cbc"}, "broken", "CVE-2008-5161"),
        ({"mac": "hmac-md5"}, "weak", "MD5"),
        ({"mac": "none"}, "broken", "no authentication of data"), ({"cipher": "none"}, "broken", "no encryption"),
        ({"cipher": "aes128-ctr", "back": "arcfour"}, "broken", "RC4: arcfour"),
        ({"cipher": AEAD}, "weak", "CVE-2023-48795"), ({"banner": b"SSH-1.5-x"}, "broken", "before 2.0"),
    ],
)  # fmt: skip
def test_grade_has_its_reason(options, grade, reason):
    """The worst thing of either direction decides."""
    found = fields(side(OLD, **options), side(OLD, **options))
    assert found["grade"] == grade
    assert reason in found["grade_reason"]


def test_strict_key_exchange_takes_both_sides():
    """Only then is the cipher no weakness."""
    both = fields(side(f"{NEW},{STRICT[0]}", cipher=AEAD), side(f"{NEW},{STRICT[1]}", cipher=AEAD))
    one = fields(side(f"{NEW},{STRICT[0]}", cipher=AEAD), side(NEW, cipher=AEAD))
    assert (both["strict_kex"], both["grade"], both["mac_client"]) == (True, "hybrid", None)
    assert (one["strict_kex"], one["grade"]) == (False, "weak")


@pytest.mark.parametrize(
    ("client", "server", "role"),
    [
        (side(f"{OLD},ext-info-c"), side(OLD), "client"), (side(OLD), side(f"{OLD},{STRICT[1]}"), "client"),
        (side(OLD, after=30), side(OLD), "client"), (side(OLD), side(OLD, after=31), "client"),
        (side(OLD), side(f"{OLD},ext-info-c"), "server"), (side(OLD), side(OLD), ""),
    ],
)  # fmt: skip
def test_role_is_told_by_markers_and_by_what_follows(client, server, role):
    """Without either, it is not known, and nothing is chosen; who knows it can say it."""
    found = read_talk(client, server)
    assert (found.role, found.complete) == (role, bool(role))
    if not role:
        assert found.fields["kex"] is None
        assert read_talk(client, server, "server").fields["kex"] == OLD


def test_directions_are_told_apart():
    """Ciphers of each, and compression with a slash where it differs."""
    found = fields(side(OLD, back="aes256-ctr"), side(OLD, back="aes256-ctr"))
    assert (found["cipher_client"], found["cipher_server"], found["compression"]) == (
        "aes128-ctr",
        "aes256-ctr",
        "none",
    )


def test_version_1_99_is_2():
    """For those who could speak both."""
    assert fields(side(OLD, banner=b"SSH-1.99-x"), side(OLD))["version"] == "SSH 2.0"


def test_banner_is_text_whatever_it_has():
    """Control characters, and what is no UTF-8."""
    found = fields(side(OLD, banner=b"SSH-2.0-\x1b[2J\xff"), side(OLD))
    assert found["client_banner"] == "SSH-2.0-\x1b[2J\udcff"


@pytest.mark.parametrize("data", [b"SS\n", b"SSH-2.0-x\r\n" + b"\0\1\0\1", b"SSH-2.0-x\n\0\0\0\2\4\x14"])
def test_what_goes_wrong_is_an_error(data):
    """A line of two letters, a packet that is too long, one that is too short."""
    with pytest.raises(WireError):
        read_talk(data.ljust(40, b"\0"), side(OLD), "client")
