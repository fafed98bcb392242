# SPDX-License-Identifier: MIT
"""Fingerprints of clients: JA3, JA4 and HASSH, as their specifications have them.

They are names that others use, too, and no protection of anything: MD5 is what JA3 and HASSH are made of.
JA3: https://github.com/salesforce/ja3, JA4 (the client's only): https://github.com/FoxIO-LLC/ja4, HASSH:
https://github.com/salesforce/hassh.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tracer.wire import hello as h

if TYPE_CHECKING:
    from hashlib import md5, sha256

    from tracer.wire.hello import Hello
else:
    try:  # hashlib loads OpenSSL, 3 MB that nothing else needs
        from _md5 import md5

        try:
            from _sha2 import sha256
        except ImportError:  # before Python 3.12
            from _sha256 import sha256
    except ImportError:  # a Python without digests of its own
        from hashlib import md5, sha256

# By the highest version that is offered.
JA4_VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}
DTLS = 0xFE00


def _md5(text: str) -> str:
    return md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def ja3(hello: Hello) -> str:
    """The MD5 of version, suites, extensions, groups and point formats, each as it was sent, GREASE left out."""
    parts: tuple[Iterable[int], ...] = (
        (hello.version,),
        h.without_grease(hello.suites),
        h.without_grease(tuple(kind for kind, _ in hello.extensions)),
        h.offered_groups(hello),
        (hello.extension(h.POINT_FORMATS) or b"")[1:],
    )
    return _md5(",".join("-".join(map(str, part)) for part in parts))


def ja4(hello: Hello, transport: str = "t") -> str:
    """The fingerprint of a client.

    Args:
        transport: ``t`` for TCP, ``q`` for QUIC, ``d`` for DTLS.
    """
    offered = h.offered_versions(hello)
    # The numbers of DTLS go down as it gets newer.
    version = min(offered) if offered[0] >= DTLS else max(offered)
    suites = h.without_grease(hello.suites)
    kinds = h.without_grease(tuple(kind for kind, _ in hello.extensions))
    head = (
        f"{transport}{JA4_VERSIONS.get(version, '00')}{'d' if h.SERVER_NAME in kinds else 'i'}"
        f"{min(len(suites), 99):02}{min(len(kinds), 99):02}{_ends(h.protocols(hello))}"
    )
    others = _hex(sorted(kind for kind in kinds if kind not in (h.SERVER_NAME, h.ALPN)))
    schemes = _hex(h.signatures(hello))
    extensions = f"{others}_{schemes}" if schemes else others
    return f"{head}_{_short(_hex(sorted(suites)))}_{_short(extensions if kinds else '')}"


def _hex(found: Iterable[int]) -> str:
    return ",".join([f"{number:04x}" for number in found])


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def _ends(protocols: tuple[bytes, ...]) -> str:
    """The first and the last character of the first protocol; of its hexadecimal form, if one is no letter or digit."""
    if not protocols or not protocols[0]:
        return "00"
    first = protocols[0]
    ends = first[:1] + first[-1:]
    if ends.isalnum():
        return ends.decode()
    return first.hex()[0] + first.hex()[-1]


def hassh(kex: str, ciphers: str, macs: str, compression: str) -> str:
    """The MD5 of what one side of SSH offers, for its own direction."""
    return _md5(f"{kex};{ciphers};{macs};{compression}")
