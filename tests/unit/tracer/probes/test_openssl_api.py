"""What of the probe for functions of libraries needs no kernel."""

from __future__ import annotations

import socket

import pytest

from tracer.probes import accessors
from tracer.probes.openssl_api import address_text

ENDBR = b"\xf3\x0f\x1e\xfa"


class Code:
    """A file with two functions."""

    def __init__(self, **functions: bytes) -> None:
        self.code = b""
        self.at = {}
        for name, code in functions.items():
            self.at[name] = len(self.code)
            self.code += code.ljust(96, b"\x90")

    def find(self, symbols):
        return {name: self.at[name] for name in symbols if name in self.at}

    def read(self, offset, size):
        return self.code[offset : offset + size]


@pytest.mark.skipif(accessors.architecture() != "x86_64", reason="code of x86-64")
@pytest.mark.parametrize(
    ("code", "offset"),
    [
        (b"\x8b\x47\x5c\xc3", 0x5C),
        (ENDBR + b"\x8b\x87\xa8\x00\x00\x00\xc3", 0xA8),
        (b"\x8b\x47\x5c\x31\xff\xc3", 0x5C),  # registers cleared before the return
        (b"\x83\x3f\x00\x75\x07\x8b\x87\xa8\x00\x00\x00\xc3\x31\xc0\xc3", 0xA8),  # the type first: 3.2
        (b"\xe9\x00\x00\x00\x00", -1),
        (b"\x8b\x87\xff\xff\xff\x7f\xc3", -1),
        (b"", -1),
    ],
)
def test_layout_offset_is_that_of_the_accessors_load(code, offset):
    """Unknown code gives no offset, never a wrong one."""
    assert accessors.layout(Code(SSL_get_state=code)) == {"hand_state": offset, "want": -1}


@pytest.mark.parametrize(
    ("family", "raw", "text"),
    [
        (socket.AF_INET, bytes([127, 0, 0, 1]) + bytes(12), "127.0.0.1"),
        (socket.AF_INET6, bytes(15) + b"\1", "::1"),
        (socket.AF_INET6, bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7]), "192.0.2.7"),
        (0, bytes(16), None),
        (socket.AF_UNIX, bytes(16), None),
    ],
)
def test_address_text(family, raw, text):
    """IPv4 that came through an IPv6 socket is shown as IPv4."""
    assert address_text(family, raw) == text
