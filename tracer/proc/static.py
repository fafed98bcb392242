# SPDX-License-Identifier: MIT
"""Cryptography that is built into an executable: no library shows it, and no symbol has to.

What the file says of itself is looked for, and no more than that is claimed: the code is *available* to the
program, not used. Three sources are cheap enough to ask of every program that runs:

- Go writes its version, its modules and its defaults into each executable (``.go.buildinfo``), and the names of all
  functions (``.gopclntab``), stripped or not;
- OpenSSL and its forks have a banner with their version. A program that was only compiled against OpenSSL has it as
  well, so it counts only where libcrypto is not asked for by name;
- crates of Rust leave the paths of their sources in messages (``rustls-0.23.37/src/...``), or a list of all
  (``.dep-v0``, by cargo-auditable).

The file may be anything, and may change while it is read: every length is bounded, and nothing is mapped.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

# How much of one section is read, and in which pieces. A text that is looked for is shorter than the overlap.
MAX_SECTION, CHUNK, OVERLAP = 48 << 20, 4 << 20, 512
MAX_ROWS, MAX_NAMES = 512, 1 << 16
MAX_BUILD_INFO, MAX_DEPENDENCIES = 1 << 20, 4 << 20
MAX_DETAILS = 64

GO_MAGIC = b"\xff Go buildinf:"
GO_INLINE = 2  # in its flags: the texts follow; before Go 1.18 there were pointers
GO_TEXTS = 32
# Where the names of functions are: the last one is lld's, which puts them among other data.
GO_NAMES = (b".gopclntab", b".data.rel.ro.gopclntab", b".data.rel.ro")

PT_LOAD, PF_W, PF_R, SHT_NOBITS = 1, 2, 4, 8

_OPENSSL = re.compile(rb"OpenSSL (\d\.\d{1,2}\.\d{1,3}[a-z]{0,2}(?:-[\w.]{1,16})?) +\d{1,2} [A-Z][a-z]{2} \d{4}\0")
_FORKS = (
    ("AWS-LC", b"AWS-LC ", re.compile(rb"AWS-LC (?:FIPS )?(\d{1,3}\.\d{1,3}\.\d{1,3})")),
    ("BoringSSL", b"BoringSSL", re.compile(rb"\(compatible; BoringSSL\)()|third_party/boringssl/src/()")),
    ("LibreSSL", b"LibreSSL ", re.compile(rb"LibreSSL (\d\.\d{1,2}\.\d{1,3})\0")),
)
# Crates that are cryptography themselves; what only uses them brings them along.
CRATES = (
    "rustls ring aws-lc-rs aws-lc-sys aws-lc-fips-sys openssl openssl-sys boring boring-sys native-tls mbedtls orion "
    "ed25519-dalek x25519-dalek curve25519-dalek k256 p256 p384 rsa dsa aes aes-gcm aes-gcm-siv chacha20 "
    "chacha20poly1305 des blowfish cast5 rc4 sha1 sha2 sha3 md-5 blake2 blake3 hmac hkdf pbkdf2 argon2 scrypt bcrypt "
    "ml-kem ml-dsa slh-dsa pqcrypto libcrux fips203 fips204 snow sodiumoxide libsodium-sys sequoia-openpgp russh"
).split()
_CRATE = re.compile(
    rb"/(" + b"|".join(re.escape(name.encode()) for name in sorted(CRATES, key=len, reverse=True)) + rb")"
    rb"-(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?(?:-[\w.]{1,24})?)/"
)
# What a name of a function tells.
_GO_PACKAGES = {
    b"crypto/tls.": "crypto/tls",
    b"crypto/x509.": "crypto/x509",
    b"crypto/rsa.": "crypto/rsa",
    b"crypto/ecdsa.": "crypto/ecdsa",
    b"crypto/aes.": "crypto/aes",
    b"golang.org/x/crypto/ssh.": "golang.org/x/crypto/ssh",
    b"golang.org/x/crypto/": "golang.org/x/crypto",
    b"_goboringcrypto_": "boringcrypto",
    b"crypto/internal/fips140.": "crypto/internal/fips140",
    b"crypto/internal/fips140/mlkem.": "crypto/internal/fips140/mlkem",
}
_GO_MODULES = re.compile(
    r"^(?:dep|=>)\t(golang\.org/x/crypto|github\.com/cloudflare/circl|filippo\.io/\S+|github\.com/(?:quic-go/quic-go|"
    r"ProtonMail/go-crypto|miekg/pkcs11|google/go-tpm|tjfoc/gmsm|refraction-networking/utls))\t(\S+)",
    re.MULTILINE,
)
_GO_SETTINGS = re.compile(r"^build\t((?:DefaultGODEBUG|GOFIPS140|GOEXPERIMENT)=\S+)", re.MULTILINE)


class StaticCrypto(NamedTuple):
    """One implementation that an executable has inside.

    Attributes:
        name: of the project.
        version: "" if the file does not say.
        details: what else the file says of it: packages, modules, settings.
    """

    name: str
    version: str
    details: tuple[str, ...] = ()


class _Section(NamedTuple):
    name: bytes
    offset: int
    size: int


def find_static(fd: int) -> tuple[list[StaticCrypto], int]:
    """What an executable has inside, and how many bytes were read to find out.

    Raises:
        OSError: it cannot be read.
    """
    file = _File(fd)
    elf = _Elf(file)
    found = _go(file, elf) or _rust_list(file, elf.sections) or _texts(file, elf.sections)
    return found, file.read_bytes


class _File:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.read_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        if size <= 0 or not 0 <= offset < 1 << 62:
            return b""
        data = os.pread(self._fd, size, offset)
        self.read_bytes += len(data)
        return data

    def chunks(self, section: _Section) -> Iterator[bytes]:
        """Its content in pieces, each with the end of the one before."""
        end = section.offset + min(section.size, MAX_SECTION)
        at, before = section.offset, b""
        while at < end:
            data = self.read(at, min(CHUNK, end - at))
            if not data:
                return
            yield before + data
            before = data[-OVERLAP:]
            at += len(data)


class _Elf:
    """The head of an ELF file of 64 bits.

    Attributes:
        sections: by name; none if it has no table of them, or the names are gone.
        data: where its writable data lies, as a section.
        read_only: its largest part that is neither written nor executed.
    """

    def __init__(self, file: _File) -> None:
        self.sections: dict[bytes, _Section] = {}
        self.data = self.read_only = _Section(b"", 0, 0)
        head = file.read(0, 64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02" or head[5] not in (1, 2):
            return
        self._order = "little" if head[5] == 1 else "big"
        self._read_segments(self._rows(file, head, 32, 54, 56))
        self._read_sections(file, self._rows(file, head, 40, 58, 60), self._number(head, 62, 2))

    def _number(self, data: bytes, at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], self._order)  # type: ignore[arg-type]

    def _rows(self, file: _File, head: bytes, table: int, size: int, count: int) -> list[bytes]:
        size, count = self._number(head, size, 2), min(self._number(head, count, 2), MAX_ROWS)
        if size not in (56, 64):
            return []
        raw = file.read(self._number(head, table, 8), size * count)
        return [raw[at : at + size] for at in range(0, len(raw) - size + 1, size)]

    def _read_segments(self, rows: list[bytes]) -> None:
        for row in rows:
            kind, flags = self._number(row, 0, 4), self._number(row, 4, 4)
            segment = _Section(b"", self._number(row, 8, 8), self._number(row, 32, 8))
            if kind == PT_LOAD and flags & PF_W and not self.data.size:
                self.data = segment
            elif kind == PT_LOAD and flags == PF_R and segment.size > self.read_only.size:
                self.read_only = segment

    def _read_sections(self, file: _File, rows: list[bytes], names_at: int) -> None:
        if names_at >= len(rows):
            return
        names = file.read(self._number(rows[names_at], 24, 8), min(self._number(rows[names_at], 32, 8), MAX_NAMES))
        for row in rows:
            start = self._number(row, 0, 4)
            name = names[start : max(names.find(b"\0", start), start)]
            if name and self._number(row, 4, 4) != SHT_NOBITS:
                self.sections[name] = _Section(name, self._number(row, 24, 8), self._number(row, 32, 8))


def _go(file: _File, elf: _Elf) -> list[StaticCrypto]:
    section, sections = elf.sections.get(b".go.buildinfo"), elf.sections
    if section:
        raw = file.read(section.offset, min(section.size, MAX_BUILD_INFO))
    elif b".rodata" in sections:
        return []
    else:
        # Without names of sections it is somewhere in the data, where Go itself looks for it.
        raw = file.read(elf.data.offset, min(elf.data.size, CHUNK))
        raw = raw[max(raw.find(GO_MAGIC), 0) :][:MAX_BUILD_INFO]
    if not raw.startswith(GO_MAGIC):
        return []
    version = modules = ""
    if len(raw) > GO_TEXTS and raw[15] & GO_INLINE:
        version, at = _go_text(raw, GO_TEXTS)
        modules = _go_text(raw, at)[0]
    names = [sections[name] for name in GO_NAMES if name in sections][:1] or [elf.read_only, elf.data]
    packages: set[str] = set()
    for chunk in (chunk for section in names for chunk in file.chunks(section)):
        packages |= {name for text, name in _GO_PACKAGES.items() if name not in packages and text in chunk}
    listed = [f"{name} {number}" for name, number in _GO_MODULES.findall(modules)]
    if not packages and not listed:
        return []
    details = (*sorted(packages), *listed, *_GO_SETTINGS.findall(modules))
    return [StaticCrypto("Go", _printable(version.split(" ")[0].removeprefix("go")), _few(details))]


def _go_text(raw: bytes, at: int) -> tuple[str, int]:
    """A text behind its length, and what is behind it."""
    size = shift = 0
    while at < len(raw) and shift < 35:
        byte = raw[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return raw[at : at + size].decode("utf-8", "replace"), at + size


def _rust_list(file: _File, sections: dict[bytes, _Section]) -> list[StaticCrypto]:
    section = sections.get(b".dep-v0")
    if not section:
        return []
    try:
        raw = zlib.decompressobj().decompress(
            file.read(section.offset, min(section.size, MAX_BUILD_INFO)), MAX_DEPENDENCIES
        )
        packages = json.loads(raw)["packages"]
        rows = {(str(row["name"]), _printable(str(row["version"]))) for row in packages}
    except (zlib.error, ValueError, LookupError, TypeError, RecursionError):
        return []
    return _crates({row for row in rows if row[0] in CRATES})


def _crates(found: set[tuple[str, str]]) -> list[StaticCrypto]:
    return [StaticCrypto(name, version) for name, version in sorted(found)[:MAX_DETAILS]]


def _texts(file: _File, sections: dict[bytes, _Section]) -> list[StaticCrypto]:
    section = sections.get(b".rodata")
    if not section:
        return []
    crates: set[tuple[str, str]] = set()
    banners: dict[str, str] = {}
    for chunk in file.chunks(section):
        # To find a text is ten times as quick as to match a pattern: most files have none of them.
        if b"/registry/" in chunk or b"/rustls-" in chunk:
            crates |= {(name.decode(), version.decode()) for name, version in _CRATE.findall(chunk)}
        for name, text, pattern in _FORKS:
            match = pattern.search(chunk) if name not in banners and text in chunk else None
            if match:
                banners[name] = (match[1] or b"").decode()
        match = _OPENSSL.search(chunk) if "OpenSSL" not in banners and b"OpenSSL " in chunk else None
        if match:
            banners["OpenSSL"] = match[1].decode()
    needed = sections.get(b".dynstr")
    if banners and needed:
        names = file.read(needed.offset, min(needed.size, CHUNK))
        if b"libcrypto" in names or b"libssl" in names:
            banners.clear()
    return [*(StaticCrypto(*each) for each in sorted(banners.items())), *_crates(crates)]


def _printable(text: str) -> str:
    return text[:64] if text.isprintable() else ""


def _few(details: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text[:256] for text in details if text.isprintable())[:MAX_DETAILS]
