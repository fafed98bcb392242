# SPDX-License-Identifier: MIT
"""The plain part of an SSH connection: RFC 4253.

Each side sends a line that says who it is, and then a packet with the algorithms that it has: u32 length, u8 padding,
u8 20, 16 random bytes, ten lists of names. Of each list, the first name of the client's that the server has as well
is what both use. Nothing in the first two messages says who is the client: the packets that follow do, and so do
the markers of OpenSSH and others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.catalog.grades import PQ_CLASSICAL, PQ_HYBRID
from tracer.catalog.ssh import CLIENT_MARKERS, MARKERS, SERVER_MARKERS, STRICT, grade_ssh, is_aead, kex_kind
from tracer.wire.fingerprints import hassh
from tracer.wire.reader import CutError, Reader, WireError, text

BEGIN = b"SSH-"
# With its end of line: RFC 4253, 4.2.
LONGEST_BANNER = 255
# RFC 4253 asks for 35000 bytes; larger packets are left alone.
LONGEST_PACKET = 1 << 16
MAX_NAMES = 512

KEXINIT = 20
# What only a client sends next, and only a server: RFC 4253 8, RFC 4419, RFC 5656.
FROM_CLIENT, FROM_SERVER = frozenset((30, 32, 34)), frozenset((31, 33))
COOKIE = 16

KEX, HOST_KEY, CIPHER_C, CIPHER_S, MAC_C, MAC_S, COMPRESSION_C, COMPRESSION_S = range(8)
LISTS = 10

NOT_OFFERED, NOT_SERVED, NOT_PREFERRED = "client did not offer", "server did not offer", "client preferred another"


class Side(NamedTuple):
    """What one side has sent.

    Attributes:
        banner: its line, without the end; None if the end is missing.
        lists: the algorithms, as they were sent; empty if they are not all there.
        role: ``client`` or ``server``, if something that it sent says so, else "".
    """

    banner: str | None
    lists: tuple[str, ...]
    role: str

    def names(self, number: int) -> tuple[str, ...]:
        """The names of a list."""
        found = self.lists[number].split(",", MAX_NAMES)[:MAX_NAMES] if self.lists else []
        return tuple(name for name in found if name and name not in MARKERS)


def begins(data: bytes) -> bool:
    """Whether bytes begin like SSH, as far as they go."""
    return data[:4] == BEGIN[: len(data[:4])]


def _side(data: bytes) -> Side:
    """What one side has sent, as far as it is there."""
    end = data.find(b"\n", 0, LONGEST_BANNER + 1)
    if end < 0:
        if len(data) > LONGEST_BANNER:
            raise WireError(f"a line of more than {LONGEST_BANNER} bytes")
        return Side(None, (), "")
    if data[:4] != BEGIN:
        raise WireError("the line of the other side is none of SSH")
    banner = text(data[:end].rstrip(b"\r"))
    lists: tuple[str, ...] = ()
    role = ""
    reader = Reader(data[end + 1 : end + 1 + 2 * LONGEST_PACKET], cut=True)
    try:
        lists = _lists(_packet(reader))
        role = _role_of(lists[KEX].split(",", MAX_NAMES), b"")
        role = role or _role_of((), _packet(reader, 2))
    except CutError:
        pass
    return Side(banner, lists, role)


def _packet(reader: Reader, enough: int = 0) -> bytes:
    """The content of the next packet, with its number; only so many bytes of it, if that is enough."""
    size = reader.number(4)
    if not 2 <= size <= LONGEST_PACKET:
        raise WireError(f"a packet of {size} bytes")
    return reader.take(enough or size)[1:]


def _lists(packet: bytes) -> tuple[str, ...]:
    reader = Reader(packet)
    if reader.number(1) != KEXINIT:
        raise WireError(f"packet {packet[0]} instead of KEXINIT")
    reader.take(COOKIE)
    return tuple(text(reader.vector(4)) for _ in range(LISTS))


def _role_of(names: list[str] | tuple[()], packet: bytes) -> str:
    if any(name in CLIENT_MARKERS for name in names) or (packet and packet[0] in FROM_CLIENT):
        return "client"
    if any(name in SERVER_MARKERS for name in names) or (packet and packet[0] in FROM_SERVER):
        return "server"
    return ""


def read_ssh(sent: bytes, received: bytes, role: str = "") -> tuple[str, dict[str, Any], bool]:
    """Role of the side that has sent the first bytes, the fields of the event, and whether that is all there can be.

    Args:
        role: of that side, if somebody knows it.

    Raises:
        WireError: it is no SSH.
    """
    ours, theirs = _side(sent) if sent else Side(None, (), ""), _side(received) if received else Side(None, (), "")
    role = role or ours.role or {"client": "server", "server": "client"}.get(theirs.role, "")
    client, server = (theirs, ours) if role == "server" else (ours, theirs)
    whole = bool(ours.lists and theirs.lists and role)
    fields: dict[str, Any] = {
        "version": _version(ours, theirs),
        "client_banner": client.banner if role else None,
        "server_banner": server.banner if role else None,
        "hassh": _hassh(client, CIPHER_C) if role else None,
        "hassh_server": _hassh(server, CIPHER_S) if role else None,
        "truncated": not whole,
        **_chosen(client, server, whole=whole),
    }
    return role, fields, whole


def _version(ours: Side, theirs: Side) -> str | None:
    """The version that both have; 1.99 stands for both 1.5 and 2.0."""
    if ours.banner is None or theirs.banner is None:
        return None
    versions = [banner.split("-", 2)[1] for banner in (ours.banner, theirs.banner)]
    found = min("2.0" if version == "1.99" else version for version in versions)
    return f"SSH {found[:16]}"


def _hassh(side: Side, cipher: int) -> str | None:
    lists = side.lists
    return hassh(lists[KEX], lists[cipher], lists[cipher + 2], lists[cipher + 4]) if lists else None


def _chosen(client: Side, server: Side, *, whole: bool) -> dict[str, Any]:
    fields: dict[str, Any] = dict.fromkeys(
        ("kex", "host_key", "cipher_client", "cipher_server", "mac_client", "mac_server", "compression", "strict_kex",
         "post_quantum", "post_quantum_reason", "grade", "grade_reason", "evidence")
    )  # fmt: skip
    if not whole:
        return fields

    def first(number: int) -> str | None:
        theirs = frozenset(server.names(number))
        return next((name for name in client.names(number) if name in theirs), None)

    kex, host_key = first(KEX), first(HOST_KEY)
    ciphers = first(CIPHER_C), first(CIPHER_S)
    macs = [
        None if cipher is None or is_aead(cipher) else first(mac) for cipher, mac in zip(ciphers, (MAC_C, MAC_S))
    ]  # fmt: skip
    compressions = first(COMPRESSION_C), first(COMPRESSION_S)
    strict = all(STRICT.intersection(side.lists[KEX].split(",", MAX_NAMES)) for side in (client, server))
    fields.update(
        kex=kex,
        host_key=host_key,
        cipher_client=ciphers[0],
        cipher_server=ciphers[1],
        mac_client=macs[0],
        mac_server=macs[1],
        compression=" / ".join(dict.fromkeys(name or "?" for name in compressions)),
        strict_kex=strict,
    )
    if kex is None or host_key is None or None in ciphers:
        return fields
    kind = kex_kind(kex)
    fields.update(post_quantum=kind, post_quantum_reason=_reason(kind, client, server), evidence="negotiated")
    fields["grade"], fields["grade_reason"] = grade_ssh(
        kex,
        host_key,
        [(cipher, mac) for cipher, mac in zip(ciphers, macs) if cipher],
        strict=strict,
        old=_is_old(client, server),
    )
    return fields


def _is_old(client: Side, server: Side) -> bool:
    return (_version(client, server) or "") < "SSH 2.0"


def _reason(kind: str | None, client: Side, server: Side) -> str | None:
    """Who kept a key exchange classical; None if nobody did."""
    if kind != PQ_CLASSICAL:
        return None
    offered, served = ({name for name in side.names(KEX) if kex_kind(name) == PQ_HYBRID} for side in (client, server))
    if not offered:
        return NOT_OFFERED
    return NOT_PREFERRED if offered & served else NOT_SERVED
