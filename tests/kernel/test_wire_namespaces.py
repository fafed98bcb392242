"""Sockets in two network namespaces: what both tell is one connection, however it begins."""

from __future__ import annotations

import os
import socket
import ssl
import threading

import pytest

from tests.support.gates import require_tool
from tests.support.neighbours import ADDRESSES, PORT, pair
from tests.support.sandbox import inside
from tests.support.wire import DEADLINE_S, make_certificate, shake, wire

pytestmark = pytest.mark.kernel
OWN = os.getpid()
NEAR, FAR = ADDRESSES[socket.AF_INET]
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT = 23, 30


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of certificate and key."""
    require_tool("openssl")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def ends():
    """A socket in one namespace that is to connect to one in the other, which listens; and the probe on both."""
    with pair() as (here, there), wire() as probe:
        for each in (here, there):
            each.run("sysctl", "-qw", "net.ipv4.tcp_fastopen=519")  # both sides, without cookies
        with inside(there.holder):
            server = socket.create_server((FAR, PORT))
        with inside(here.holder):
            client = socket.socket()
        with server, client:
            client.settimeout(DEADLINE_S)
            server.settimeout(DEADLINE_S)
            yield client, server, probe


def connect(client, server, certificate):
    """A handshake of TLS between the two."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve():
        with server.accept()[0] as sock, context.wrap_socket(sock, server_side=True) as tls:
            tls.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.connect((FAR, PORT))
        shake(client)
    finally:
        client.close()
        thread.join(DEADLINE_S)


@pytest.mark.parametrize("way", ["plain", "deferred", "fast open"])
def test_connection_that_may_begin_with_data_is_one(ends, certificate, way):
    """Then the first data come to the socket that listens."""
    client, server, probe = ends
    if way == "deferred":
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    elif way == "fast open":
        server.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 5)
        client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    connect(client, server, certificate)
    told = probe.finish()
    unpaired = [record for record in probe.records if not record["back"]]
    sides = [
        (each.fields["role"], each.fields["pid"], each.fields["peer_pid"], each.fields["truncated"]) for each in told
    ]
    assert sides == [("client", OWN, OWN, False)]
    assert bool(unpaired) == (way == "fast open")


@pytest.mark.parametrize("first", ["client", "server", "both"])
def test_ssh_is_one_connection_whoever_begins(ends, first):
    """Each side may say what it is before it has heard the other."""
    client, server, probe = ends
    client.connect((FAR, PORT))
    with server.accept()[0] as other:
        words = {"client": (client, other, b"SSH-2.0-one\r\n"), "server": (other, client, b"SSH-2.0-two\r\n")}
        order = ["server", "client"] if first == "server" else ["client", "server"]
        for name in order:
            words[name][0].sendall(words[name][2])
            if first != "both":
                assert words[name][1].recv(100) == words[name][2]
        if first == "both":
            for name in order:
                assert words[name][1].recv(100) == words[name][2]
    told = probe.finish()
    (fields,) = [each.fields for each in told]
    assert (fields["role"], fields["pid"], fields["peer_pid"]) == ("client", OWN, OWN)
    assert (fields["client_banner"], fields["server_banner"]) == ("SSH-2.0-one", "SSH-2.0-two")
