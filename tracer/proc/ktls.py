# SPDX-License-Identifier: MIT
"""Sockets whose TLS the kernel does: asked by netlink, as ss(8) does. No BPF, and no key is ever asked for.

include/uapi/linux/inet_diag.h, tls.h. A kernel that has no TLS, or does not tell us, has no such sockets.
"""

from __future__ import annotations

import socket
import struct
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

_HEAD = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
# family, state, timer, retransmissions, ports, addresses, interface, cookie, expiry, queues, user, inode
_SOCKET = struct.Struct("=4B2s2s16s16sI8sIIIII")
_ATTRIBUTE = struct.Struct("=HH")

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
                body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, ESTABLISHED_AND_CLOSING)
                netlink.send(_HEAD.pack(_HEAD.size + len(body), BY_FAMILY, REQUEST_DUMP, 1, 0) + body)
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


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of an answer: kind and content."""
    at = 0
    while at + _HEAD.size <= len(data):
        size, kind, *_ = _HEAD.unpack_from(data, at)
        if size < _HEAD.size or at + size > len(data):
            return
        yield kind, data[at + _HEAD.size : at + size]
        at += size + 3 & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            break
        found[kind & ~NESTED] = data[at + _ATTRIBUTE.size : at + size]
        at += size + 3 & ~3
    return found


def read_socket(message: bytes) -> TlsSocket | None:
    """A socket from the content of its message; None if the kernel does no TLS for it."""
    if len(message) < _SOCKET.size:
        return None
    family, _, _, _, from_port, to_port, source, target, *_, inode = _SOCKET.unpack_from(message)
    tls = _attributes(_attributes(_attributes(message[_SOCKET.size :]).get(ULP_INFO, b"")).get(ULP_TLS, b""))
    if not {VERSION, CIPHER} <= set(tls):
        return None
    numbers = {name: int.from_bytes(value[:2], "little" if _LITTLE else "big") for name, value in tls.items()}
    size = 4 if family == socket.AF_INET else 16
    ends = [
        (socket.inet_ntop(family, address[:size]), int.from_bytes(port, "big"))
        for address, port in ((source, from_port), (target, to_port))
    ]
    return TlsSocket(
        ends[0],
        ends[1],
        inode,
        version_name(numbers[VERSION]),
        ktls_cipher(numbers[CIPHER]),
        MODES.get(numbers.get(SEND, 1)),
        MODES.get(numbers.get(RECEIVE, 1)),
    )


_LITTLE = struct.pack("=H", 1) == b"\1\0"
