"""Sockets whose TLS the kernel does, from the answers of netlink."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from tracer.proc import ktls


def number(value, size):
    return value.to_bytes(size, sys.byteorder)


def attribute(kind, data):
    return (number(4 + len(data), 2) + number(kind, 2) + data).ljust(4 + len(data) + 3 & ~3, b"\0")


def answer(*inside, family=socket.AF_INET):
    """As inet_diag.c writes it, with attributes that we do not know before what we look for."""
    source = socket.inet_pton(family, "::1" if family == socket.AF_INET6 else "127.0.0.1").ljust(16, b"\0")
    head = bytes((family, 1, 0, 0)) + (443).to_bytes(2, "big") + (40000).to_bytes(2, "big") + source * 2
    head = head.ljust(ktls.INODE, b"\xff") + number(4711, 4)
    tls = b"".join(attribute(kind, number(value, 2)) for kind, value in inside)
    nested = attribute(19 | 0x8000, attribute(1, b"tls\0") + attribute(2 | 0x8000, tls))
    return head + attribute(8, b"\0") + (nested if inside else b"")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_socket_with_tls(family):
    """Version, cipher, and which directions the kernel does."""
    found = ktls.read_socket(answer((1, 0x0304), (2, 52), (3, 2), (4, 1), family=family))
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    assert found == ktls.TlsSocket((host, 443), (host, 40000), 4711, "TLS 1.3", "AES-GCM-256", "software", None)
    hardware = ktls.read_socket(answer((1, 0x0303), (2, 99), (3, 3), family=family))
    assert (hardware.version, hardware.cipher, hardware.send, hardware.receive) == ("TLS 1.2", "99", "hardware", None)


@pytest.mark.parametrize("message", [answer(), answer((1, 0x0304)), b"", bytes(40), answer((1, 1), (2, 2))[:-3]])
def test_others_are_left_out(message):
    """Without TLS, without a cipher, cut off: no error."""
    found = ktls.read_socket(message)
    assert found is None or found.version == "0x0001"


def test_messages_end_where_they_say_nonsense():
    """A size of nothing, or beyond the end."""
    assert list(ktls.messages(number(0, 4) + bytes(40))) == []
    assert list(ktls.messages(number(100, 4) + bytes(40))) == []
    assert list(ktls.messages(number(20, 4) + number(7, 2) + bytes(14))) == [(7, bytes(4))]


def test_kernel_answers_and_our_own_socket_is_in_it():
    """The request is one that the kernel understands, and places are where we look for them."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as own:
        rows = {}
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ktls.SOCK_DIAG) as netlink:
            netlink.settimeout(30)
            netlink.send(ktls._request(socket.AF_INET))
            kinds = set()
            while ktls.DONE not in kinds:
                for kind, message in ktls.messages(netlink.recv(1 << 16)):
                    kinds.add(kind)
                    port = int.from_bytes(message[ktls.PORTS : ktls.PORTS + 2], "big")
                    rows[port] = int.from_bytes(message[ktls.INODE : ktls.SOCKET_SIZE], sys.byteorder)
        assert rows[own.getsockname()[1]] == os.fstat(own.fileno()).st_ino
        assert own.getsockname()[1] not in {each.local[1] for each in ktls.tls_sockets()}
