"""ELF files taken apart, so that they can be changed and put together again with headers that fit."""

from __future__ import annotations

import struct
from random import Random
from typing import Callable

HEADER = 64
SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 2, 4, 8, 9
# Fields of a section header
NAME, TYPE, FLAGS, ADDRESS, OFFSET, SIZE, LINK, INFO, ALIGN, ENTSIZE = range(10)
SECTION_NAMES = (
    ".text", ".maps", "maps", "license", "version", ".data", ".rodata", ".bss", ".data.x", ".rodata.x", ".bss.x",
    ".kconfig", ".ksyms", ".records", ".BTF", ".BTF.ext", ".symtab", ".strtab", ".struct_ops", "?.struct_ops",
    ".struct_ops.link", ".addr_space.1", "tp_btf/x", "?kprobe", "xdp", "iter/x", "syscall", "noSuchKind/x", "",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 9, 12, 16, 24, 32, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 0x7FFF, 0x8000, 0xFF00, 0xFFF1,
    0xFFFE, 0xFFFF, 1 << 16, (1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 8, (1 << 32) - 1, 1 << 32,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1,
)  # fmt: skip


def number(rng: Random, near: int, bits: int) -> int:
    """A number that is likely to be at an edge: a known one, one close to what was there, or any."""
    choice = rng.random()
    if choice < 0.4:
        value = rng.choice(NUMBERS)
    elif choice < 0.8:
        value = near + rng.choice((-8, -4, -1, 1, 2, 4, 8, 24))
    elif choice < 0.9:
        value = near ^ 1 << rng.randrange(bits)
    else:
        value = rng.getrandbits(bits)
    return value & (1 << bits) - 1


def flip(data: bytes, rng: Random) -> bytes:
    """Bytes changed, removed, doubled or put in, without any knowledge of what they mean."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind == 1 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.choice((1, 4, 8, 24))]
        elif kind == 3:
            out[at:at] = out[at : at + rng.choice((4, 8, 16, 24, 64))]
        elif kind == 4:
            out[at:at] = rng.getrandbits(64).to_bytes(8, "little")[: rng.randrange(9)]
        else:
            size = rng.choice((1, 2, 4, 8))
            out[at : at + size] = number(rng, 0, 64).to_bytes(8, "little")[:size]
    return bytes(out)


class Image:
    """The parts of a 64-bit ELF file.

    Attributes:
        head: the fields of the header from e_type on.
        headers: of the sections; `bodies` has their contents.
        lies: (section or -1 for the file's header, field, value) that replace what fits, when it is built.
    """

    def __init__(self, data: bytes) -> None:
        if data[:5] != b"\x7fELF\x02" or data[5:6] not in (b"\1", b"\2") or len(data) < HEADER:
            raise ValueError("not a 64-bit ELF file")
        self.ident = data[:16]
        self.order = "<" if data[5] == 1 else ">"
        self.head = list(struct.unpack_from(self.order + "HHIQQQIHHHHHH", data, 16))
        at, count, stride = self.head[5], self.head[11], self.head[10]
        if stride != 64 or not 0 < count < 4096 or at + count * 64 > len(data):
            raise ValueError("its section headers cannot be taken apart")
        self.headers = [list(struct.unpack_from(self.order + "IIQQQQIIQQ", data, at + 64 * i)) for i in range(count)]
        self.bodies = []
        for header in self.headers:
            stored = header[TYPE] != SHT_NOBITS
            self.bodies.append(bytearray(data[header[OFFSET] : header[OFFSET] + header[SIZE]] if stored else b""))
        self.lies: list[tuple[int, int, int]] = []

    def build(self) -> bytes:
        """The file: header, contents, section headers."""
        out = bytearray(HEADER)
        for header, body in zip(self.headers, self.bodies):
            if header[TYPE] == SHT_NOBITS:
                continue
            out += bytes(-len(out) % 8)
            header[OFFSET], header[SIZE] = len(out) if body else header[OFFSET] & 0xFFFF, len(body)
            out += body
        out += bytes(-len(out) % 8)
        self.head[5], self.head[11] = len(out), len(self.headers) & 0xFFFF
        for where, field, value in self.lies:
            if where < 0:
                self.head[field] = value
            elif where < len(self.headers):
                self.headers[where][field] = value
        out[:16] = self.ident
        struct.pack_into(self.order + "HHIQQQIHHHHHH", out, 16, *self.head)
        for header in self.headers:
            out += struct.pack(self.order + "IIQQQQIIQQ", *header)
        return bytes(out)

    def name(self, index: int) -> str:
        """The name of a section, as far as it has one."""
        table = self.names()
        raw = bytes(table[self.headers[index][NAME] :]).split(b"\0")[0]
        return raw.decode("latin-1")

    def names(self) -> bytearray:
        """The section name table."""
        at = self.head[12]
        return self.bodies[at] if at < len(self.bodies) else bytearray()

    def find(self, name: str) -> int | None:
        """The index of the first section of that name."""
        return next((i for i in range(len(self.headers)) if self.name(i) == name), None)

    def rename(self, index: int, name: str) -> None:
        """Give a section a name; the old one stays in the table for others."""
        table = self.names()
        self.headers[index][NAME] = len(table)
        table += name.encode() + b"\0"


Change = Callable[[Image, Random], None]


def _table(image: Image, rng: Random, types: tuple[int, ...]) -> int | None:
    found = [i for i, h in enumerate(image.headers) if h[TYPE] in types and image.bodies[i]]
    return rng.choice(found) if found else None


def change_header(image: Image, rng: Random) -> None:
    """A field of the file's header says something else."""
    fields = (16, 16, 32, 64, 64, 64, 32, 16, 16, 16, 16, 16, 16)
    field = rng.randrange(len(fields))
    image.lies.append((-1, field, number(rng, image.head[field], fields[field])))


def change_section(image: Image, rng: Random) -> None:
    """A field of a section header says something else."""
    index, field = rng.randrange(len(image.headers)), rng.randrange(10)
    bits = 32 if field in (NAME, TYPE, LINK, INFO) else 64
    near = rng.choice(image.headers)[field]
    image.lies.append((index, field, number(rng, near, bits) if rng.random() < 0.6 else near))


def rename_section(image: Image, rng: Random) -> None:
    """A section gets a name that means something."""
    image.rename(rng.randrange(len(image.headers)), rng.choice(SECTION_NAMES))


def double_section(image: Image, rng: Random) -> None:
    """A section is there twice."""
    index = rng.randrange(len(image.headers))
    image.headers.append(list(image.headers[index]))
    image.bodies.append(bytearray(image.bodies[index]))
    if rng.random() < 0.5:
        image.rename(len(image.headers) - 1, rng.choice(SECTION_NAMES))


def swap_sections(image: Image, rng: Random) -> None:
    """Two sections change places, and nobody is told."""
    i, j = rng.randrange(len(image.headers)), rng.randrange(len(image.headers))
    image.headers[i], image.headers[j] = image.headers[j], image.headers[i]
    image.bodies[i], image.bodies[j] = image.bodies[j], image.bodies[i]


def change_symbol(image: Image, rng: Random) -> None:
    """A symbol lies elsewhere, is of another kind, or has the name of another."""
    index = _table(image, rng, (SHT_SYMTAB, 11))
    if index is None or len(image.bodies[index]) < 24:
        return
    body = image.bodies[index]
    count = len(body) // 24
    at = rng.randrange(count) * 24
    raw = list(struct.unpack_from(image.order + "IBBHQQ", body, at))
    other = struct.unpack_from(image.order + "IBBHQQ", body, rng.randrange(count) * 24)
    field = rng.randrange(6)
    if rng.random() < 0.5:
        raw[field] = other[field]
    elif field == 3:
        raw[3] = rng.choice((0, 0xFFF1, 0xFFF2, 0xFFFF, *range(len(image.headers))))
    else:
        bits = (32, 8, 8, 16, 64, 64)[field]
        raw[field] = number(rng, raw[field], bits)
    struct.pack_into(image.order + "IBBHQQ", body, at, *raw)


def double_symbols(image: Image, rng: Random) -> None:
    """More symbols: copies of those that are there."""
    index = _table(image, rng, (SHT_SYMTAB, 11))
    if index is not None:
        body = image.bodies[index]
        at = rng.randrange(len(body) // 24 + 1) * 24
        body += body[at : at + 24] * rng.choice((1, 2, 50))


def change_relocation(image: Image, rng: Random) -> None:
    """A relocation is of another instruction or to another symbol, or has another type; or there are more."""
    index = _table(image, rng, (SHT_REL, SHT_RELA))
    if index is None:
        return
    body, wide = image.bodies[index], image.headers[index][TYPE] == SHT_RELA
    size = 24 if wide else 16
    if len(body) < size:
        return
    at = rng.randrange(len(body) // size) * size
    offset, info = struct.unpack_from(image.order + "QQ", body, at)
    kind = rng.randrange(5)
    if kind == 0:
        offset = number(rng, offset, 64)
    elif kind == 1:
        offset = rng.randrange(64) * 8
    elif kind == 2:
        info = info & 0xFFFFFFFF | number(rng, info >> 32, 32) << 32
    elif kind == 3:
        info = info >> 32 << 32 | rng.choice((0, 1, 2, 3, 4, 10))
    else:
        body += body[at : at + size]
    struct.pack_into(image.order + "QQ", body, at, offset, info)


def change_code(image: Image, rng: Random) -> None:
    """An instruction becomes another one."""
    found = [i for i, h in enumerate(image.headers) if h[FLAGS] & 4 and len(image.bodies[i]) >= 8]
    if not found:
        return
    body = image.bodies[rng.choice(found)]
    at = rng.randrange(len(body) // 8) * 8
    kind = rng.randrange(6)
    if kind == 0:
        body[at] = rng.choice((0x18, 0x85, 0x95, 0x61, 0x69, 0x71, 0x79, 0x62, 0x7B, 0xB7, 0x07, 0x05, 0x0F, 0xBF))
    elif kind == 1:
        body[at + 1] = rng.choice((0, 0x10, 0x11, 0x20, 0x40, 0x41, 0xF0, 0xFF))
    elif kind == 2:
        struct.pack_into(image.order + "H", body, at + 2, number(rng, 0, 16))
    elif kind == 3:
        struct.pack_into(image.order + "i", body, at + 4, rng.randrange(-20, 20))
    elif kind == 4:
        struct.pack_into(image.order + "I", body, at + 4, number(rng, 0, 32))
    else:
        body[at : at + 8] = b"\x18\x41\0\0" + rng.randrange(-9, 9).to_bytes(4, "little", signed=True)


def change_bytes(image: Image, rng: Random) -> None:
    """The contents of a section, blindly."""
    index = rng.randrange(len(image.headers))
    image.bodies[index] = bytearray(flip(bytes(image.bodies[index]), rng))


def shrink_section(image: Image, rng: Random) -> None:
    """A section loses its end."""
    body = rng.choice(image.bodies)
    del body[rng.randrange(len(body) + 1) :]


CHANGES: tuple[Change, ...] = (
    change_header, change_section, change_section, rename_section, double_section, swap_sections, change_symbol,
    change_symbol, double_symbols, change_relocation, change_relocation, change_code, change_code, change_bytes,
    shrink_section,
)  # fmt: skip
