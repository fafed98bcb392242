# SPDX-License-Identifier: MIT
"""Sockets whose TLS the kernel does: asked by netlink, as ss(8) does. No BPF, and no key is ever asked for.

include/uapi/linux/inet_diag.h, tls.h. A kernel that has no TLS, or does not tell us, has no such sockets.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

from tracer.catalog.ktls import ktls_cipher
from tracer.catalog.versions import version_name

SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
BY_FAMILY, DONE, ERROR = 20, 3, 2
REQUEST_DUMP = 0x301
ESTABLISHED_AND_CLOSING = 0xFFF & ~(1 << 10 | 1 << 7)  # not those that listen, or are closed

ULP_INFO, ULP_TLS, NESTED = 19, 2, 0x8000
VERSION, CIPHER, SEND, RECEIVE = 1, 2, 3, 4

# struct nlmsghdr: size, kind, flags, number, pid. struct inet_diag_req_v2: family, protocol, what to add, states, and
# a socket that need not be named.
HEAD_SIZE, REQUEST_SIZE, ATTRIBUTE_SIZE = 16, 56, 4
# struct inet_diag_msg: the family, and behind four bytes the socket: ports, addresses, and more; its inode at the end.
PORTS, SOURCE, TARGET, ADDRESS_SIZE, INODE, SOCKET_SIZE = 4, 8, 24, 16, 68, 72

# TLS_CONF_BASE means that the program itself does it.
MODES = {1: None, 2: "software", 3: "hardware", 4: "hardware"}
TIMEOUT_S = 2.0


class TlsSocket(NamedTuple):
    """A socket.

    Attributes:
        inode: of the socket, as /proc/PID/fd has it.
        send, receive: ``software``, ``hardware``, or None where the kernel does not do that direction.
    """

    local: tuple[str, int]
    peer: tuple[str, int]
    inode: int
    version: str
    cipher: str
    send: str | None
    receive: str | None


def tls_sockets() -> list[TlsSocket]:
    """Those of this network namespace; none where the kernel does not tell."""
    found: list[TlsSocket] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, SOCK_DIAG) as netlink:
                netlink.settimeout(TIMEOUT_S)
                netlink.send(_request(family))
                while True:
                    data = netlink.recv(1 << 16)
                    for kind, message in messages(data):
                        if kind in (DONE, ERROR):
                            break
                        tls = read_socket(message)
                        if tls:
                            found.append(tls)
                    else:
                        if data:
                            continue
                    break
        except OSError:
            continue
    return found


def _number(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _request(family: int) -> bytes:
    """For all sockets of a family that are connected."""
    head = (HEAD_SIZE + REQUEST_SIZE, 4), (BY_FAMILY, 2), (REQUEST_DUMP, 2), (1, 4), (0, 4)
    body = (family, 1), (socket.IPPROTO_TCP, 1), (0, 2), (ESTABLISHED_AND_CLOSING, 4)
    parts = b"".join(value.to_bytes(size, sys.byteorder) for value, size in (*head, *body))
    return parts.ljust(HEAD_SIZE + REQUEST_SIZE, b"\0")


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of an answer: kind and content."""
    at = 0
    while at + HEAD_SIZE <= len(data):
        size, kind = _number(data[at : at + 4]), _number(data[at + 4 : at + 6])
        if size < HEAD_SIZE or at + size > len(data):
            return
        yield kind, data[at + HEAD_SIZE : at + size]
        at += size + 3 & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + ATTRIBUTE_SIZE <= len(data):
        size, kind = _number(data[at : at + 2]), _number(data[at + 2 : at + 4])
        if size < ATTRIBUTE_SIZE:
            break
        found[kind & ~NESTED] = data[at + ATTRIBUTE_SIZE : at + size]
        at += size + 3 & ~3
    return found


def read_socket(message: bytes) -> TlsSocket | None:
    """A socket from the content of its message; None if the kernel does no TLS for it."""
    if len(message) < SOCKET_SIZE:
        return None
    family = message[0]
    tls = _attributes(_attributes(_attributes(message[SOCKET_SIZE:]).get(ULP_INFO, b"")).get(ULP_TLS, b""))
    if not {VERSION, CIPHER} <= set(tls):
        return None
    numbers = {name: _number(value[:2]) for name, value in tls.items()}
    size = 4 if family == socket.AF_INET else ADDRESS_SIZE
    # Ports are as on the wire.
    local, peer = (
        (socket.inet_ntop(family, message[at : at + size]), int.from_bytes(message[port : port + 2], "big"))
        for at, port in ((SOURCE, PORTS), (TARGET, PORTS + 2))
    )
    return TlsSocket(
        local,
        peer,
        _number(message[INODE:SOCKET_SIZE]),
        version_name(numbers[VERSION]),
        ktls_cipher(numbers[CIPHER]),
        MODES.get(numbers.get(SEND, 1)),
        MODES.get(numbers.get(RECEIVE, 1)),
    )
