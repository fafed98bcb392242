"""The first packets of QUIC: by the vectors of the RFCs, and by what a program says."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.wire import talks
from tests.support import hellos as h
from tests.support.quicmaker import ID, OTHER_ID, crypto, initial, quic_talk
from tracer.wire import aes, quic
from tracer.wire.talk import WireError, read_datagrams

V1, V2 = quic.VERSIONS
# RFC 9001 A.1, RFC 9369 A.1: key, iv and header protection of each side, for the id 8394c8f03e515708.
VECTORS = (
    (V1, "client", "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"),
    (V1, "server", "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e", "c206b8d9b9f0f37644430b490eeaa314"),
    (V2, "client", "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"),
    (V2, "server", "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652", "edf6d05c83121201b436e16877593c3a"),
)
X25519 = 29
OFFER = h.client_hello(h.sni(b"quic.example"), h.versions(0x0304), h.groups(0x11EC, X25519), h.alpn(b"h3"))
ANSWER = h.server_hello(h.VERSION_13, h.share(X25519))


def test_aes_of_the_standard():
    """FIPS 197, appendix C.1, one block and many."""
    keys = aes.expand(bytes(range(16)))
    block = bytes.fromhex("00112233445566778899aabbccddeeff")
    expected = bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")
    assert aes.encrypt(keys, block) == expected
    assert aes.encrypt(keys, block * 75) == expected * 75
    assert aes.expand(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))[-1].hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"


def test_aes_is_that_of_others():
    """The package `cryptography`, for keys, numbers of blocks and lengths of all kinds."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    rng = Random(9001)
    for count in (1, 2, 3, 75, 129):
        key, blocks = rng.randbytes(16), rng.randbytes(16 * count)
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        assert aes.encrypt(aes.expand(key), blocks) == encryptor.update(blocks)
    parts = [(rng.randbytes(12), rng.randbytes(size)) for size in (1, 0, 16, 17, 1162)]
    for (nonce, data), found in zip(parts, aes.counter_mode(aes.expand(key), parts)):
        encryptor = Cipher(algorithms.AES(key), modes.CTR(nonce + b"\0\0\0\2")).encryptor()
        assert found == encryptor.update(data)


@pytest.mark.parametrize(("version", "side", "key", "iv", "head"), VECTORS)
def test_keys_of_the_rfcs(version, side, key, iv, head):
    """From the id of the connection."""
    found = quic.VERSIONS[version]
    keys = quic.Keys(found, quic.secret(found, ID), side)
    assert keys._keys[0].hex() == key
    assert keys._nonce.to_bytes(12, "big").hex() == iv
    assert keys._head[0].hex() == head


def test_header_protection_of_the_rfc():
    """RFC 9001 A.2: the mask of the sample."""
    keys = aes.expand(bytes.fromhex("9f50449e04a0e810283a1e9933adedd2"))
    assert aes.encrypt(keys, bytes.fromhex("d1b1c98dd7689fb8ec11d242b123dc9b"))[:5].hex() == "437b9aec36"


@pytest.mark.parametrize("version", quic.VERSIONS)
def test_hello_in_two_datagrams_in_any_order(version):
    """A hello with a post-quantum share takes more than one; the second may come first."""
    up, down = quic_talk(version, OFFER + b"", ANSWER, size=60)
    assert len(up) > 1
    for sent in (up, up[::-1], up + up):
        found = read_datagrams(sent, down)
        assert (found.role, found.complete) == ("client", True)
        fields = found.fields
        assert (fields["sni"], fields["group"], fields["version"]) == ("quic.example", "x25519", "TLS 1.3")
        assert fields["transport"] == quic.VERSIONS[version].name
        assert fields["post_quantum_reason"] == "server did not choose"
        assert fields["ja4"].startswith("q13d")
    assert read_datagrams(down, up).role == "server"


def test_real_hello_with_a_post_quantum_share():
    """What a program said over TCP, in packets of QUIC."""
    up, down = talks()["new-node"]
    client = up[5 : 5 + int.from_bytes(up[3:5], "big")]
    server = down[5 : 5 + int.from_bytes(down[3:5], "big")]
    fields = read_datagrams(*quic_talk(V1, client, server)).fields
    assert (fields["group"], fields["grade"], fields["transport"]) == ("X25519MLKEM768", "hybrid", "QUIC v1")


def test_server_that_goes_on_in_another_version():
    """RFC 9368: the keys are made of the same id."""
    found = read_datagrams(quic_talk(V1, OFFER, ANSWER)[0], quic_talk(V2, OFFER, ANSWER)[1])
    assert (found.complete, found.fields["transport"]) == (True, "QUIC v2")


def test_client_after_a_retry():
    """The server's packet names another id, and the client's next ones have keys of that."""
    first = initial(V1, "client", 0, crypto(0, OFFER), ID)
    again = initial(V1, "client", 1, crypto(0, OFFER), OTHER_ID, OTHER_ID)
    answer = initial(V1, "server", 0, crypto(0, ANSWER), b"", OTHER_ID)
    assert read_datagrams([first, again], [answer]).complete


def test_packet_that_was_changed_is_not_read():
    """Another id, another key: nothing that it says is believed."""
    packet = quic_talk(V1, OFFER, ANSWER)[0][0]
    with pytest.raises(WireError):
        read_datagrams([packet[:8] + b"\0" + packet[9:]], [])


def test_datagram_of_many_packets_has_a_bound():
    """Heads of packets are cheap to make: of so many in front, what comes behind is not looked at."""
    head = b"\xe3" + V1.to_bytes(4, "big") + b"\0\0" + b"\0"  # a Handshake packet with nothing in it
    packet = quic_talk(V1, OFFER, ANSWER)[0][0]
    assert read_datagrams([head * (quic.MAX_HEADS - 1) + packet], []).fields["sni"] == "quic.example"
    with pytest.raises(WireError):
        read_datagrams([head * quic.MAX_HEADS + packet], [])


def test_unknown_version_is_left_alone():
    """Its keys are not known, nor where anything stands."""
    packet = quic_talk(V1, OFFER, ANSWER)[0][0]
    assert read_datagrams([packet[:1] + b"\xff\0\0\x1d" + packet[5:]], []) is None


def test_programs_are_read(tmp_path):
    """aioquic, both versions: what it agrees on is what we read."""
    aioquic = pytest.importorskip("aioquic.quic.connection")
    from aioquic.quic.configuration import QuicConfiguration

    from tests.support.talkers import make_certificates

    folder = make_certificates(tmp_path)
    for version in quic.VERSIONS:
        ours = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="quic.example", verify_mode=0,
                                 original_version=version, supported_versions=[version])  # fmt: skip
        theirs = QuicConfiguration(is_client=False, alpn_protocols=["h3"], supported_versions=[version])
        theirs.load_cert_chain(folder / "rsa.pem", folder / "rsa.key")
        client = aioquic.QuicConnection(configuration=ours)
        client.connect(("192.0.2.1", 443), 0.0)
        server = aioquic.QuicConnection(
            configuration=theirs, original_destination_connection_id=client.original_destination_connection_id
        )
        up, down = [], []
        for step in range(3):
            for source, sink, kept in ((client, server, up), (server, client, down)):
                for data, _ in source.datagrams_to_send(step / 10):
                    kept.append(data)
                    sink.receive_datagram(data, ("192.0.2.2", 4433), step / 10)
        fields = read_datagrams(up, down).fields
        assert fields["suite"] == "TLS_AES_256_GCM_SHA384"  # the first of its own list
        assert (fields["sni"], fields["offered_alpn"]) == ("quic.example", ("h3",))
