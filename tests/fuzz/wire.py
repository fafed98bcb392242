"""What is fuzzed of tracer/wire: what it begins with, how it is changed, and what reads it.

An input for streams is ``TALK``, u32 size of what was sent, that, and what was received; one for datagrams is ``GRAM``
and for each u8 direction, u16 size, content. A certificate is its DER.
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.elfimage import flip
from tests.support.objects import DATA
from tests.support.quicmaker import quic_talk
from tracer.wire import certificate, dtls, quic, ssh, talk, tls

if TYPE_CHECKING:
    from random import Random

TALK, GRAM = b"TALK", b"GRAM"
# Lengths that have been wrong somewhere.
SIZES = (0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, 0x100, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)


def join(up: bytes, down: bytes) -> bytes:
    """Both directions of a stream as an input."""
    return TALK + len(up).to_bytes(4, "big") + up + down


def split(data: bytes) -> tuple[bytes, bytes]:
    """Back again; any bytes are a talk."""
    size = int.from_bytes(data[4:8], "big")
    return data[8 : 8 + size], data[8 + size :]


def join_datagrams(up: list[bytes], down: list[bytes]) -> bytes:
    """Datagrams as an input."""
    rows = [(0, each) for each in up] + [(1, each) for each in down]
    return GRAM + b"".join(bytes((side,)) + len(each).to_bytes(2, "big") + each for side, each in rows)


def split_datagrams(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Back again."""
    sides: tuple[list[bytes], list[bytes]] = ([], [])
    at = len(GRAM)
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        sides[data[at] & 1].append(data[at + 3 : at + 3 + size])
        at += 3 + size
    return sides


# What it begins with.


@cache
def talks() -> dict[str, tuple[bytes, bytes]]:
    """What real programs said, recorded once: by the name of the pair."""
    found = {}
    for path in sorted((DATA / "talks").glob("*.talk")):
        data = path.read_bytes()
        size = int.from_bytes(data[:4], "big")
        found[path.stem] = data[4 : 4 + size], data[4 + size :]
    return found


def talk_seeds(*, tools: bool = False) -> tuple[bytes, ...]:
    """Streams of both protocols, as a client and as a server sees them."""
    return tuple(join(*each) for pair in talks().values() for each in (pair, pair[::-1]))


def tls_seeds(*, tools: bool = False) -> tuple[bytes, ...]:
    """Streams of TLS."""
    return tuple(data for data in talk_seeds(tools=tools) if b"SSH-" not in data[:14])


def ssh_seeds(*, tools: bool = False) -> tuple[bytes, ...]:
    """Streams of SSH."""
    return tuple(data for data in talk_seeds(tools=tools) if b"SSH-" in data[:14])


def as_dtls(data: bytes, piece: int) -> list[bytes]:
    """The plain messages of a stream of TLS as those of DTLS, in fragments."""
    found = []
    for number, (kind, sent, _) in enumerate(tls.read_flight(data, retried=True).messages[:4]):
        body = sent
        if kind == 1:
            after = 35 + body[34]
            body = b"\xfe\xfd" + sent[2:after] + b"\0" + sent[after:]
        for at in range(0, len(body), piece):
            part = body[at : at + piece]
            head = bytes((kind,)) + len(body).to_bytes(3, "big") + number.to_bytes(2, "big")
            head += at.to_bytes(3, "big") + len(part).to_bytes(3, "big")
            record = b"\x16\xfe\xfd\0\0" + (100 * number + at).to_bytes(6, "big")
            found.append(record + len(head + part).to_bytes(2, "big") + head + part)
    return found


def dtls_seeds(*, tools: bool = False) -> tuple[bytes, ...]:
    """Datagrams of DTLS."""
    pairs = [split(data) for data in tls_seeds(tools=tools)]
    return tuple(join_datagrams(as_dtls(up, 400), as_dtls(down, 1200)) for up, down in pairs)


def quic_seeds(*, tools: bool = False) -> tuple[bytes, ...]:
    """Datagrams of QUIC, of both versions."""
    pairs = [split(data) for data in tls_seeds(tools=tools)]
    hellos = [[tls.read_flight(side).messages for side in pair] for pair in pairs]
    found = []
    for up, down in hellos[::4]:
        if up and down and up[0].kind == 1 and down[0].kind == 2:
            one, other = (
                bytes((each.kind,)) + len(each.body).to_bytes(3, "big") + each.body for each in (up[0], down[0])
            )
            found += [join_datagrams(*quic_talk(version, one, other)) for version in quic.VERSIONS]
    return tuple(found)


@cache
def certificate_seeds(*, tools: bool = False) -> tuple[bytes, ...]:
    """Certificates with several kinds of keys and names."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for key in (["rsa:1024"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["ed25519"]):
            path = Path(folder, "x.der")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-keyout", "/dev/null", "-out", str(path),
                 "-outform", "DER", "-utf8", "-subj", "/C=DE/O=A, \u00dcber + B/DC=example/emailAddress=a@b/CN= x "],
                check=True, capture_output=True,
            )  # fmt: skip
            found.append(path.read_bytes())
    return tuple(found)


# How it is changed.


def change_talk(data: bytes, rng: Random) -> bytes:
    """One direction or both, with or without lengths that fit again."""
    sides = list(split(data))
    for side in rng.choice(((0,), (1,), (0, 1))):
        sides[side] = _change_stream(sides[side], rng)
    if rng.random() < 0.05:
        sides.reverse()
    return join(*sides)


def change_datagrams(data: bytes, rng: Random) -> bytes:
    """The same of datagrams, some of which are lost, doubled or in another order."""
    sides = split_datagrams(data)
    for side in sides:
        if side and rng.random() < 0.7:
            at = rng.randrange(len(side))
            side[at] = _change_bytes(side[at], rng)
        if side and rng.random() < 0.2:
            side.insert(rng.randrange(len(side)), rng.choice(side))
        if rng.random() < 0.2:
            rng.shuffle(side)
        if side and rng.random() < 0.1:
            side.pop()
    return join_datagrams(*([each[:0xFFFF] for each in side] for side in sides))


def _change_stream(data: bytes, rng: Random) -> bytes:
    choice = rng.random()
    if choice < 0.1:
        return data[: rng.randrange(len(data) + 1)]
    out = _change_bytes(data, rng)
    if choice < 0.6 and out[:1] == b"\x16" and len(out) > 9:
        # A record and a message around all that is changed: else most end at the first length.
        body = out[9 : 9 + min(len(out) - 9, int.from_bytes(data[6:9], "big") + len(out) - len(data))]
        message = out[5:6] + len(body).to_bytes(3, "big") + body
        step = rng.choice((len(message), len(message), 1 + rng.randrange(500)))
        pieces = [message[i : i + step] for i in range(0, len(message), step)]
        rest = data[5 + int.from_bytes(data[3:5], "big") :]
        out = b"".join(b"\x16\x03\x03" + min(len(each), 0xFFFF).to_bytes(2, "big") + each for each in pieces) + rest
    return out


def _change_bytes(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.5:
        return flip(data, rng)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        size = rng.choice((1, 2, 2, 3))
        # Most of what has a meaning is at the beginning.
        at = rng.randrange(min(len(out), 600) + 1)
        out[at : at + size] = rng.choice(SIZES).to_bytes(4, "big")[-size:]
    return bytes(out)


# What reads it.


def _check(found: talk.Talk | None) -> None:
    if found is None:
        return
    for name, value in found.fields.items():
        _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
    parts = value if isinstance(value, tuple) else (value,)
    assert all(part is None or isinstance(part, (str, bool)) for part in parts), name
    assert all(len(part) <= 70_000 for part in parts if isinstance(part, str)), name


def read_any_talk(data: bytes) -> None:
    """A stream, whatever it is."""
    _check(talk.read_talk(*split(data)))


def read_tls(data: bytes) -> None:
    """A stream of TLS."""
    tls.read_tls(*split(data))


def read_ssh(data: bytes) -> None:
    """A stream of SSH, with a role and without."""
    up, down = split(data)
    ssh.read_ssh(up, down, ("", "client", "server")[len(data) % 3])


def read_dtls(data: bytes) -> None:
    """Datagrams of DTLS."""
    dtls.read_dtls(*split_datagrams(data))


def read_quic(data: bytes) -> None:
    """Datagrams, of QUIC most of the time."""
    _check(talk.read_datagrams(*split_datagrams(data)))


def read_certificate(data: bytes) -> None:
    """A certificate."""
    certificate.read_certificate(data)


WIRE_TARGETS = {
    "talk": (read_any_talk, talk_seeds),
    "tls": (read_tls, tls_seeds),
    "ssh": (read_ssh, ssh_seeds),
    "dtls": (read_dtls, dtls_seeds),
    "quic": (read_quic, quic_seeds),
    "certificate": (read_certificate, certificate_seeds),
}
