"""The programs for packets: who says what before encryption begins, by connections of the test's own."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import ssl

import pytest

from tests.support.gates import require_tool
from tests.support.neighbours import ADDRESSES, Place, join, place
from tests.support.sandbox import cgroup, netns
from tests.support.wire import LOCAL, Server, client_context, hello, make_certificate, shake, wire

pytestmark = pytest.mark.kernel
FAMILIES = [socket.AF_INET, socket.AF_INET6]
BULK = 1 << 20
OWN = os.getpid()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of certificate and key."""
    require_tool("openssl")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def lo():
    """A network of the test's own, with `lo` only; children are in it, too."""
    with netns():
        yield


@pytest.mark.parametrize("by_cookie", [0, 1], ids=["storage", "cookie"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("family", FAMILIES)
def test_wire_connection_is_one_event_that_equals_what_the_library_says(certificate, family, version, by_cookie):
    """Both sockets are on this host: one event, told by the client, with the server as its peer."""
    with wire(targ_by_cookie=by_cookie) as probe, Server(certificate, family=family, version=version) as server:
        with server.connect() as raw, client_context().wrap_socket(raw, server_hostname="wire.test") as tls:
            agreed, address = tls.version(), tls.getsockname()
            suite = tls.cipher()[0]
        (told,) = probe.wait(1)
        assert probe.finish() == [told]
    fields = told.fields
    assert told.kind == "tls_handshake"
    assert fields["version"] == agreed.replace("v", " ")
    assert fields["suite"] == suite or version == "TLSv1_2"
    assert (fields["role"], fields["pid"], fields["peer_pid"]) == ("client", OWN, server.pid)
    assert (fields["local_address"], fields["local_port"]) == address[:2]
    assert (fields["peer_address"], fields["peer_port"]) == (LOCAL[family], server.port)
    assert fields["sni"] == "wire.test"
    assert fields["truncated"] is False
    assert fields["certificate_subject"] == ("CN=wire.test" if version == "TLSv1_2" else None)


def there_and_back(tls):
    """So much, in parts that fit into the buffers of a socket: both ends would wait for each other otherwise."""
    part = b"x" * 16384
    for _ in range(BULK // len(part)):
        tls.sendall(part)
        left = len(part)
        while left:
            left -= len(tls.recv(left))


@contextlib.contextmanager
def neighbour():
    """Another network namespace, behind a cable."""
    with place() as there:
        join(Place(OWN), there)
        yield there


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("family", FAMILIES)
def test_wire_connection_between_namespaces_has_both_processes(certificate, family, version):
    """What a socket receives comes in an interrupt; what it sends tells its process."""
    near, far = ADDRESSES[family]
    with (
        neighbour() as there,
        wire() as probe,
        Server(certificate, family=family, host=far, prefix=there.prefix, version=version) as server,
    ):
        with server.connect() as raw, client_context().wrap_socket(raw) as tls:
            address, suite = tls.getsockname(), tls.cipher()[0]
        probe.wait(1)
        (told,) = probe.finish()
        sent = probe.counts()["sent"]
    fields = told.fields
    assert (fields["role"], fields["pid"], fields["peer_pid"]) == ("client", OWN, server.pid)
    assert (fields["local_address"], fields["local_port"]) == address[:2]
    assert (fields["local_address"], fields["peer_address"]) == (near, far)
    assert fields["suite"] == suite or version == "TLSv1_2"
    assert fields["truncated"] is False
    assert sent == len(probe.records) <= 12  # both see a hello and an answer; up to TLS 1.2, its end as well
    assert len({(record["base"], record["back"]) for record in probe.records}) == 2  # one for each direction
    assert len({record["space"] for record in probe.records}) == 2


def test_wire_between_namespaces_bulk_is_let_pass(certificate):
    """A megabyte each way makes no record, on either side."""
    far = ADDRESSES[socket.AF_INET][1]
    with neighbour() as there, wire() as probe, Server(certificate, host=far, prefix=there.prefix) as server:
        with server.connect() as raw, client_context().wrap_socket(raw) as tls:
            probe.wait(1)
            probe.poll()
            before = len(probe.records)
            there_and_back(tls)
        probe.poll()
        assert len(probe.records) == before


@pytest.mark.parametrize("wanted", ["client", "server", "neither"])
def test_wire_filter_by_pid_between_namespaces_has_the_other_side_as_its_peer(certificate, wanted):
    """The kernel lets pass what may stay on this host."""
    far = ADDRESSES[socket.AF_INET][1]
    with neighbour() as there, cgroup() as path, Server(certificate, host=far, prefix=there.prefix) as server:
        (path / "cgroup.procs").write_text(str(server.pid))
        pids = {"client": OWN, "server": server.pid, "neither": os.getppid()}
        with wire(where=path, targ_tgid=pids[wanted]) as probe:
            with server.connect() as raw, client_context().wrap_socket(raw):
                pass
            server.process.wait(30)
            told = probe.finish()
    sides = [(each.fields["role"], each.fields["pid"], each.fields["peer_pid"]) for each in told]
    both = {"client": ("client", OWN, server.pid), "server": ("server", server.pid, OWN)}
    assert sides == ([both[wanted]] if wanted in both else [])


@pytest.mark.parametrize("option", [socket.IPV6_DSTOPTS, socket.IPV6_HOPOPTS])
def test_wire_headers_between_ipv6_and_tcp_are_passed_over(certificate, option):
    """Options for the destination, for each hop."""
    with wire() as probe, Server(certificate, family=socket.AF_INET6) as server:
        with socket.socket(socket.AF_INET6) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, option, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
            sock.connect((server.host, server.port))
            tls = shake(sock)
        (told,) = probe.wait(1)
    assert told.fields["suite"] == tls.cipher()[0]


@pytest.mark.parametrize("wanted", ["client", "server", "neither"])
def test_wire_filter_by_pid_tells_it_from_the_side_that_is_wanted(certificate, wanted):
    """One event if either is; the other one is its peer all the same."""
    with cgroup() as path, Server(certificate) as server:
        pids = {"client": OWN, "server": server.pid, "neither": os.getppid()}
        with wire(where=path, targ_tgid=pids[wanted]) as probe:
            with server.connect() as raw, client_context().wrap_socket(raw):
                pass
            told = probe.finish()
    sides = [(each.fields["role"], each.fields["pid"], each.fields["peer_pid"]) for each in told]
    both = {"client": ("client", OWN, server.pid), "server": ("server", server.pid, OWN)}
    assert sides == ([both[wanted]] if wanted in both else [])


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_wire_hello_in_small_segments_is_put_together(certificate, piece):
    """One packet for each byte, or a few."""
    with wire() as probe, Server(certificate) as server:
        with server.connect() as sock:
            port = sock.getsockname()[1]
            tls = shake(sock, piece)
        (told,) = probe.wait(1)
        probe.finish()
        said = probe.said(port)
    assert told.fields["suite"] == tls.cipher()[0]
    assert told.fields["truncated"] is False
    assert said[:3] == b"\x16\x03\x01"
    # Records: the hello, then at most the word that what follows is encrypted. Nothing of what is.
    assert said[5 + int.from_bytes(said[3:5], "big") :] in (b"", b"\x14\x03\x03\x00\x01\x01")


def test_wire_nothing_is_copied_once_it_is_encrypted(certificate):
    """A megabyte each way makes no record."""
    with wire() as probe, Server(certificate) as server:
        with server.connect() as raw, client_context().wrap_socket(raw) as tls:
            probe.wait(1)
            probe.poll()
            before = len(probe.records)
            there_and_back(tls)
        probe.poll()
        assert len(probe.records) == before
        assert sum(len(record["data"]) for record in probe.records) < 8192
        assert probe.counts() == {"sent": before, "full": 0, "unread": 0}


@pytest.mark.parametrize(
    "begin", [b"GET / HTTP/1.0\r\n\r\n", b"SMTP", b"\x16\x03\x01\x02\x00\x07xxxx", b"\x17\x03\x03\x00\x01x"]
)
def test_wire_other_protocols_are_left_alone(begin):
    """By their first bytes, and for good: what looks like a hello later is none."""
    with wire() as probe, socket.create_server((LOCAL[socket.AF_INET], 0)) as server:
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as other:
            client.sendall(begin)
            other.recv(100)
            other.sendall(b"answer")
            client.recv(100)
            client.sendall(hello())
            other.sendall(hello())
        probe.poll()
        assert probe.records == []


def test_wire_connection_that_is_older_is_left_alone():
    """It had sent something before, so what comes is not its beginning."""
    with cgroup() as path, socket.create_server((LOCAL[socket.AF_INET], 0)) as server:
        client = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        with client, other:
            for one, two in ((client, other), (other, client)):
                one.sendall(b"x")
                assert two.recv(1) == b"x"
            with wire(where=path) as probe:
                for one, two in ((client, other), (other, client)):
                    one.sendall(hello())
                    assert two.recv(100)
                probe.poll()
                assert probe.records == []


def test_wire_child_that_serves_is_the_owner(certificate):
    """The parent accepts, the child talks."""
    with wire() as probe, Server(certificate, fork=True) as server:
        with server.connect() as raw, client_context().wrap_socket(raw):
            child = server.child()
        (told,) = probe.wait(1)
    assert told.fields["peer_pid"] == child != server.pid


@pytest.mark.parametrize("first", ["server", "client"])
def test_wire_ssh_both_sides_whoever_begins(first):
    """Both banners, each from its own end, although the server may speak first."""
    banners = {"server": b"SSH-2.0-one\r\n", "client": b"SSH-2.0-two\r\n"}
    with wire() as probe, socket.create_server((LOCAL[socket.AF_INET], 0)) as server:
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as other:
            ends = {"server": other, "client": client}
            ports = {name: end.getsockname()[1] for name, end in ends.items()}
            second = "client" if first == "server" else "server"
            ends[first].sendall(banners[first])
            ends[second].recv(100)
            ends[second].sendall(banners[second])
            ends[first].recv(100)
        probe.poll()
        said = {name: probe.said(port) for name, port in ports.items()}
        connected = {record["from_port"] for record in probe.records if record["flags"] & 8}
    assert said == banners
    assert connected == {ports["client"]}


def test_wire_many_connections_are_all_told_once(certificate):
    """From several threads; the sums add up."""
    count = 101
    context = client_context()

    def one(server):
        with server.connect() as raw, context.wrap_socket(raw) as tls:
            return tls.getsockname()[1]

    with wire() as probe, Server(certificate, count=count) as server:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            # Threads that the pool makes are in this network namespace, too: it is inherited.
            ports = list(pool.map(one, [server] * count))
        probe.wait(count)
        told = probe.finish()
        counts = probe.counts()
    assert sorted(each.fields["local_port"] for each in told) == sorted(ports)
    assert {(each.fields["pid"], each.fields["peer_pid"]) for each in told} == {(OWN, server.pid)}
    assert counts == {"sent": len(probe.records), "full": 0, "unread": 0}


def test_wire_full_ring_is_counted(certificate):
    """Nobody reads it while it fills: what was sent is there, or was lost."""
    count = 53
    with wire(ring_size=4096 * 4) as probe, Server(certificate, count=count) as server:
        for _ in range(count):
            with server.connect() as raw, client_context().wrap_socket(raw):
                pass
        probe.poll()
        counts = probe.counts()
    assert counts["full"] > 0
    assert counts["sent"] == len(probe.records) + counts["full"]


@pytest.mark.parametrize("way", ["deferred", "fast open"])
def test_wire_data_that_comes_before_its_connection(way):
    """It comes to the socket that listens; what follows comes to the new one."""
    data = hello()
    address = (LOCAL[socket.AF_INET], 0)
    with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as file:
        file.write("519")  # both sides, without cookies
    with wire(targ_received=1) as probe, socket.create_server(address) as server:
        if way == "deferred":
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        else:
            server.setsockopt(socket.IPPROTO_TCP, 23, 5)  # TCP_FASTOPEN
        with socket.socket() as client:
            if way == "deferred":
                client.connect(server.getsockname())
                client.sendall(data[:200])
            else:
                client.sendto(data[:200], socket.MSG_FASTOPEN, server.getsockname())
            other, _ = server.accept()
            with other:
                got = other.recv(1000)
                client.sendall(data[200:])
                while len(got) < len(data):
                    got += other.recv(1000)
                port = client.getsockname()[1]
        probe.poll()
        sent, received = probe.said(port), probe.said(port, sent=False)
    assert got == sent == received == data


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "begin",
    [b"\x16\xfe\xfd\0\0", b"\xc3\0\0\0\1\x08", b"\xd3\x6b\x33\x43\xcf\x08"],
    ids=["DTLS", "QUIC", "QUIC version 2"],
)
def test_wire_first_datagrams_are_copied_and_no_more(family, begin):
    """Those that look like a handshake, eight of each direction; connected or not."""
    data = begin + bytes(100)
    with (
        wire() as probe,
        socket.socket(family, socket.SOCK_DGRAM) as one,
        socket.socket(family, socket.SOCK_DGRAM) as two,
    ):
        one.bind((LOCAL[family], 0))
        for n in range(20):
            two.sendto(data + bytes([n]), one.getsockname())
        two.sendto(b"\x40" + data, one.getsockname())
        probe.poll()
        found = [(record["offset"], record["data"], record["pid"]) for record in probe.records]
    assert found == [(n, data + bytes([n]), OWN) for n in range(8)]


def test_wire_other_datagrams_are_left_alone():
    """Encrypted ones, other versions, too short ones, DNS."""
    others = (
        b"\x16\xfe\xfd\0\1",
        b"\x17\xfe\xfd\0\0",
        b"\xc3\0\0\0\2\x08",
        b"\xe3\0\0\0\1\x08",
        b"\xc3\0\0\0\1\xff",
        b"ab",
    )
    with wire() as probe, socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        one.bind((LOCAL[socket.AF_INET], 0))
        for begin in others:
            two.sendto(begin + bytes(100), one.getsockname())
        two.sendto(b"\x16\xfe\xfd\0\0", one.getsockname())
        probe.poll()
        assert probe.records == []


def test_wire_hello_without_an_answer_is_told_as_truncated():
    """Nobody speaks TLS there."""
    with wire() as probe, socket.create_server((LOCAL[socket.AF_INET], 0)) as server:
        client = socket.create_connection(server.getsockname())
        with client, server.accept()[0]:
            client.sendall(hello("nobody.test"))
            (told,) = probe.finish()
    assert told.fields["truncated"] is True
    assert (told.fields["sni"], told.fields["suite"], told.fields["pid"]) == ("nobody.test", None, OWN)


def test_wire_refused_handshake_is_told(certificate):
    """The server wants another version: it says so in clear."""
    with wire() as probe, Server(certificate, version="TLSv1_3") as server:
        with server.connect() as raw, pytest.raises(ssl.SSLError):
            client_context("TLSv1_2").wrap_socket(raw)
        (told,) = probe.finish()
    assert told.fields["success"] is False
