"""rtnetlink, as far as XDP and tc need it: for kernels that have no links for them.

Messages go through a socket of the standard library. Numbers of the protocol are in the host's byte order.

Source: include/uapi/linux/{netlink,rtnetlink,if_link,pkt_sched,pkt_cls}.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import NamedTuple

from pybpfload._sys.bpf import error_of
from pybpfload.errors import SyscallError

__all__ = ["EGRESS", "INGRESS", "Filter", "Route"]

REQUEST, ACK, EXCL, CREATE, DUMP = 1, 4, 0x200, 0x400, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_GETLINK, RTM_SETLINK = 18, 19
RTM_NEWQDISC, RTM_DELQDISC = 36, 37
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
NESTED, TYPE_MASK = 0x8000, 0x3FFF
IFLA_XDP, XDP_FD, XDP_FLAGS, XDP_PROG_ID, XDP_EXPECTED_FD = 43, 1, 3, 4, 8
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
DIRECT_ACTION = 1
CLSACT = 0xFFFF0000  # the handle ffff:
TC_H_CLSACT, INGRESS, EGRESS = 0xFFFFFFF1, 0xFFFFFFF2, 0xFFFFFFF3
ETH_P_ALL = 3
HEADER, LINK, TC = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=BxxxiIII")
NETLINK_EXT_ACK, SOL_NETLINK, NLMSGERR_ATTR_MSG = 11, 270, 1
TIMEOUT_S = 10.0


class Filter(NamedTuple):
    """Where a filter of cls_bpf is.

    Attributes:
        parent: INGRESS or EGRESS.
    """

    ifindex: int
    parent: int
    handle: int
    priority: int

    def message(self) -> bytes:
        """The beginning of a message about it."""
        head = TC.pack(0, self.ifindex, self.handle, self.parent, _info(self.priority))
        return head + _attr(TCA_KIND, b"bpf\0")


def _attr(kind: int, payload: bytes) -> bytes:
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + bytes(-size % 4)


def _attrs(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found[kind & TYPE_MASK] = data[at + 4 : at + size]
        at += -(-size // 4) * 4
    return found


def _words(content: bytes) -> str:
    """What the kernel says about an error: behind the request's header, which it repeats."""
    text = _attrs(content[4 + HEADER.size :]).get(NLMSGERR_ATTR_MSG, b"")
    return text.rstrip(b"\0").decode("utf-8", "backslashreplace")


def _info(priority: int) -> int:
    return priority << 16 | socket.htons(ETH_P_ALL)


class Route:
    """A socket of rtnetlink. It stays in the network namespace in which it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._number = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> list[bytes]:
        """One request; the bodies of the answers.

        Raises:
            SyscallError: the kernel refused; its own words are in the message, if it has any.
        """
        self._number += 1
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags | REQUEST, self._number, 0) + body)
        answers: list[bytes] = []
        while True:
            data = self._socket.recv(1 << 16)
            at = 0
            while at + HEADER.size <= len(data):
                size, answer, _, number, _ = HEADER.unpack_from(data, at)
                content = data[at + HEADER.size : at + size]
                at += max(HEADER.size, -(-size // 4) * 4)
                if number != self._number:
                    continue
                if answer == NLMSG_ERROR:
                    (failed,) = struct.unpack_from("=i", content)
                    if failed:
                        raise error_of(-failed, what, _words(content))
                    return answers
                if answer == NLMSG_DONE:
                    return answers
                answers.append(content)
                if not flags & (ACK | DUMP):
                    return answers

    def set_xdp(self, ifindex: int, prog_fd: int, flags: int, expected_fd: int | None, what: str) -> None:
        """Put an XDP program on an interface, or (-1) take it off; if `expected_fd` is there now.

        Kernel: 4.8, a7862b45849f; expected 5.7, 92234c8f15c8.
        """
        body = _attr(XDP_FD, struct.pack("=i", prog_fd)) + _attr(XDP_FLAGS, struct.pack("=I", flags))
        if expected_fd is not None:
            body += _attr(XDP_EXPECTED_FD, struct.pack("=i", expected_fd))
        self._ask(RTM_SETLINK, ACK, LINK.pack(0, 0, ifindex, 0, 0) + _attr(IFLA_XDP | NESTED, body), what)

    def xdp_id(self, ifindex: int) -> int:
        """The id of the XDP program of an interface, or 0."""
        (answer,) = self._ask(RTM_GETLINK, 0, LINK.pack(0, 0, ifindex, 0, 0), "RTM_GETLINK")
        nested = _attrs(_attrs(answer[LINK.size :]).get(IFLA_XDP, b""))
        return int(struct.unpack("=I", nested[XDP_PROG_ID])[0]) if XDP_PROG_ID in nested else 0

    def add_clsact(self, ifindex: int) -> bool:
        """Give an interface clsact; returns whether it had none. Kernel: 4.5, 1f211a1b929c."""
        body = TC.pack(0, ifindex, CLSACT, TC_H_CLSACT, 0) + _attr(TCA_KIND, b"clsact\0")
        try:
            self._ask(RTM_NEWQDISC, ACK | CREATE | EXCL, body, "RTM_NEWQDISC clsact")
        except SyscallError as error:
            if error.errno == errno.EEXIST:
                return False
            raise
        return True

    def del_clsact(self, ifindex: int) -> None:
        """Take clsact, and all its filters, from an interface."""
        body = TC.pack(0, ifindex, CLSACT, TC_H_CLSACT, 0) + _attr(TCA_KIND, b"clsact\0")
        self._ask(RTM_DELQDISC, ACK, body, "RTM_DELQDISC clsact")

    def filters(self, ifindex: int, parent: int) -> int:
        """How many filters one direction has, of whatever kind."""
        answers = self._ask(RTM_GETTFILTER, DUMP, TC.pack(0, ifindex, 0, parent, 0), "RTM_GETTFILTER")
        return sum(TC.unpack_from(answer)[1] == ifindex for answer in answers)

    def add_filter(self, where: Filter, prog_fd: int, name: str) -> None:
        """A filter in direct-action mode, which runs the program. Kernel: 4.4, 045efa82ff56."""
        text = os.fsencode(name)[:255] + b"\0"
        options = _attr(TCA_BPF_FD, struct.pack("=I", prog_fd)) + _attr(TCA_BPF_NAME, text)
        options += _attr(TCA_BPF_FLAGS, struct.pack("=I", DIRECT_ACTION))
        body = where.message() + _attr(TCA_OPTIONS | NESTED, options)
        self._ask(RTM_NEWTFILTER, ACK | CREATE | EXCL, body, f"RTM_NEWTFILTER {name}")

    def del_filter(self, where: Filter) -> None:
        """Remove one filter."""
        self._ask(RTM_DELTFILTER, ACK, where.message(), "RTM_DELTFILTER")
