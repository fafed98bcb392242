"""Fingerprints, by the examples of their specifications and by other programs."""

from __future__ import annotations

import struct
import subprocess

import pytest

from tests.fuzz.wire import talks
from tests.support import hellos as h
from tests.support.gates import require_tool
from tracer.wire.fingerprints import ja3, ja4
from tracer.wire.hello import read_client_hello
from tracer.wire.talk import read_talk

SUITES = (
    0x1301,
    0x1302,
    0x1303,
    0xC02B,
    0xC02F,
    0xC02C,
    0xC030,
    0xCCA9,
    0xCCA8,
    0xC013,
    0xC014,
    0x9C,
    0x9D,
    0x2F,
    0x35,
)
SCHEMES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
OTHERS = (0x1B, 0x33, 0x4469, 0x17, 0x2D, 0x05, 0x23, 0x12, 0x0B, 0x0A, 0xFF01, 0x15)


def hello(*found, **options):
    return read_client_hello(h.client_hello(*found, **options)[4:])


def example(*more, suites=SUITES):
    """The hello of a browser that the specification of JA4 takes for its example."""
    return hello(
        h.sni(b"x.example"), h.alpn(b"h2", b"http/1.1"), h.versions(0x0A0A, 0x0304, 0x0303), h.schemes(*SCHEMES),
        *((kind, b"") for kind in OTHERS), *more, suites=suites,
    )  # fmt: skip


def test_ja4_of_the_example():
    """t13d1516h2_8daaf6152771_e5627efa2ab1, with and without GREASE, whatever the order."""
    expected = "t13d1516h2_8daaf6152771_e5627efa2ab1"
    assert ja4(example()) == expected
    assert ja4(example((0x1A1A, b""), suites=(0x2A2A, *SUITES))) == expected
    assert ja4(example(suites=SUITES[::-1])) == expected
    assert ja4(example(), "q")[0] == "q"


@pytest.mark.parametrize(
    ("protocol", "shown"),
    [(b"h2", "h2"), (b"http/1.1", "h1"), (b"h", "hh"), (b"\xab", "ab"), (b"\xab\xcd", "ad"), (b"0\xab", "3b"),
     (b"0x1\xab\xcd\xef", "3f"), (b"-h", "28")],
)  # fmt: skip
def test_ja4_of_protocols(protocol, shown):
    """First and last character; in hexadecimal where one is no letter or digit."""
    assert ja4(hello(h.alpn(protocol))).split("_")[0].endswith(shown)


def test_ja4_of_little():
    """No extensions, no suites, no schemes."""
    assert ja4(hello(suites=())) == "t12i000000_000000000000_000000000000"
    assert ja4(hello((0x15, b""))).count("_") == 2
    assert ja4(hello(h.versions(0xFEFC, 0xFEFD), version=0xFEFD), "d").startswith("dd3i0101")
    assert ja4(hello(version=0x0300)).startswith("ts3i")
    assert ja4(hello(version=0x7777)).startswith("t00i")
    assert ja4(hello(suites=tuple(range(120)))).startswith("t12i9900")


def capture(path, pairs):
    """A file of packets, with a connection for each pair, by its port."""
    packets = []
    for client, sides in pairs.items():
        place = [1, 1]
        for number, (port, other, data) in enumerate(((client, 443, sides[0]), (443, client, sides[1]))):
            for at in range(0, len(data), 1400):
                part = data[at : at + 1400]
                tcp = struct.pack(">HHIIBBHHH", port, other, place[number], place[1 - number], 0x50, 24, 65535, 0, 0)
                ends = (b"\x0a\0\0\1", b"\x0a\0\0\2")
                size = 40 + len(part)
                ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 6, 0, ends[number], ends[1 - number])
                packets.append(ip + tcp + part)
                place[number] += len(part)
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    path.write_bytes(head + b"".join(struct.pack("<IIII", 1, 0, len(each), len(each)) + each for each in packets))


def test_ja3_and_name_are_those_of_wireshark(tmp_path):
    """By a parser that is not ours, of all that was recorded."""
    require_tool("tshark")
    pairs = {40000 + i: pair for i, (name, pair) in enumerate(talks().items()) if name[:2] not in ("ss", "db")}
    path = tmp_path / "x.pcap"
    capture(path, pairs)
    columns = ("tcp.srcport", "tls.handshake.ja3", "tls.handshake.extensions_server_name")
    command = ["tshark", "-r", str(path), "-Y", "tls.handshake.type == 1", "-T", "fields"]
    done = subprocess.run(
        [*command, *(part for column in columns for part in ("-e", column))], capture_output=True, text=True, check=True
    )
    # Two hellos may be in one line, with a comma.
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    shown = {int(port): (ja3.partition(",")[0], sni.partition(",")[0]) for port, ja3, sni in reversed(rows)}
    ours = {port: read_talk(*pair).fields for port, pair in pairs.items()}
    assert shown == {port: (fields["ja3"], fields["sni"] or "") for port, fields in ours.items()}
    assert len(shown) > 15


def test_ja3_leaves_grease_out():
    """In suites, extensions and groups."""
    plain = hello(h.groups(29), (11, b"\1\0"), suites=(0x1301,))
    assert ja3(plain) == ja3(hello((0x3A3A, b""), h.groups(0x0A0A, 29), (11, b"\1\0"), suites=(0x5A5A, 0x1301)))
    assert ja3(plain) != ja3(hello(h.groups(29), (11, b"\1\1"), suites=(0x1301,)))
