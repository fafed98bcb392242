"""BTF and .BTF.ext taken apart, so that they can be changed and put together again with headers that fit."""

from __future__ import annotations

import struct
from random import Random
from typing import Callable

from pybpfload.btf.decode import ELEMENT_WORDS, FIXED_WORDS
from pybpfload.btf.types import Kind
from tests.fuzz.elfimage import flip, number

MAGIC = 0xEB9F
FIXED = [FIXED_WORDS.get(Kind(k), 0) if k < len(Kind) else 0 for k in range(128)]
ELEMENT = [ELEMENT_WORDS.get(Kind(k), 0) if k < len(Kind) else 0 for k in range(128)]
NAMES = (
    b"", b"int", b"char", b"s", b"s___old", b"a___b___c", b"___", b".maps", b".data", b".rodata", b".bss", b".kconfig",
    b".ksyms", b".records", b".struct_ops", b"events", b"events__record", b"task_struct", b"tree", b"type", b"key",
    b"value", b"values", b"max_entries", b"pinning", b"names", b"asdict", b"__class__", b"libbpf_tristate", b"\xff\xfe",
    b"enum64_placeholder", b"?.struct_ops", b"0", b"0:0", b"0:1:2", b"0:0:0:0:0", b"1", b"0:99999999999", b"x:y", b":",
    b"exception_callback:on_x", b"if", b"*/", b"arena", b"LINUX_KERNEL_VERSION", b"CONFIG_HZ",
)  # fmt: skip


class BtfImage:
    """A BTF blob.

    Attributes:
        types: the words of each type, of id 1 first: name, info, size or type, the rest.
        lies: (field of the header, value) that replace what fits, when it is built.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < 24 or data[:2] not in (b"\x9f\xeb", b"\xeb\x9f"):
            raise ValueError("not BTF")
        self.order = "<" if data[:2] == b"\x9f\xeb" else ">"
        head = struct.unpack_from(self.order + "HBBIIIII", data)
        start = head[3] + head[4]
        words = list(struct.unpack_from(f"{self.order}{len(data[start : start + head[5]]) // 4}I", data, start))
        self.types: list[list[int]] = []
        at = 0
        while at + 3 <= len(words):
            kind = words[at + 1] >> 24 & 0x7F
            size = 3 + FIXED[kind] + ELEMENT[kind] * (words[at + 1] & 0xFFFFFF)
            self.types.append(words[at : at + size])
            at += size
        start = head[3] + head[6]
        self.strings = bytearray(data[start : start + head[7]])
        self.lies: list[tuple[int, int]] = []

    def build(self) -> bytes:
        """The blob."""
        words = [word & 0xFFFFFFFF for found in self.types for word in found]
        size = len(words) * 4
        head = [MAGIC, 1, 0, 24, 0, size, size, len(self.strings)]
        for field, value in self.lies:
            head[field] = value
        header = struct.pack(self.order + "HBBIIIII", *head)
        return header + struct.pack(f"{self.order}{len(words)}I", *words) + bytes(self.strings)

    def string(self, rng: Random) -> int:
        """The offset of a string: one that is there, or a new one."""
        if rng.random() < 0.5 and self.types:
            return rng.choice(self.types)[0]
        at = len(self.strings)
        self.strings += rng.choice(NAMES) + b"\0"
        return at

    def id(self, rng: Random) -> int:
        """A type's id, nearly always of one that exists."""
        return rng.randrange(len(self.types) + 2) if rng.random() < 0.95 else number(rng, len(self.types), 32)


Change = Callable[[BtfImage, Random], None]


def _pick(image: BtfImage, rng: Random, *kinds: int) -> list[int] | None:
    found = [w for w in image.types if len(w) >= 3 and (not kinds or w[1] >> 24 & 0x7F in kinds)]
    return rng.choice(found) if found else None


def change_header(image: BtfImage, rng: Random) -> None:
    """A field of the header says something else."""
    field = rng.randrange(1, 8)
    image.lies.append((field, number(rng, 24, 8 if field < 3 else 32)))


def change_kind(image: BtfImage, rng: Random) -> None:
    """A type becomes one of another kind, with words to fit."""
    words = _pick(image, rng)
    if words is None:
        return
    kind = rng.randrange(1, len(Kind)) if rng.random() < 0.98 else rng.randrange(128)
    words[1] = words[1] & ~(0x7F << 24) | kind << 24
    _fit(words, rng, image)


def change_count(image: BtfImage, rng: Random) -> None:
    """More or fewer members, and words to fit; now and then a number that cannot be."""
    words = _pick(image, rng)
    if words is None:
        return
    if rng.random() < 0.02:
        words[1] = words[1] & ~0xFFFFFF | number(rng, 0, 24)
        return
    words[1] = words[1] & ~0xFFFFFF | rng.choice((0, 1, 2, 3, 5, 20))
    _fit(words, rng, image)


def _fit(words: list[int], rng: Random, image: BtfImage) -> None:
    kind = words[1] >> 24 & 0x7F
    size = 3 + FIXED[kind] + ELEMENT[kind] * min(words[1] & 0xFFFFFF, 1000)
    del words[size:]
    while len(words) < size:
        words.append(rng.choice((image.id(rng), image.string(rng), 0, 8, 32)))


def change_flag(image: BtfImage, rng: Random) -> None:
    """kind_flag: bitfields, signed enums, unions, attributes."""
    words = _pick(image, rng)
    if words is not None:
        words[1] ^= 1 << 31


def change_size(image: BtfImage, rng: Random) -> None:
    """A size, or the type that is referred to."""
    words = _pick(image, rng)
    if words is not None:
        words[2] = image.id(rng) if rng.random() < 0.7 else number(rng, words[2], 32)


def change_name(image: BtfImage, rng: Random) -> None:
    """A type gets another name."""
    words = _pick(image, rng)
    if words is not None:
        words[0] = image.string(rng) if rng.random() < 0.95 else number(rng, len(image.strings), 32)


def change_member(image: BtfImage, rng: Random) -> None:
    """A word behind the first three: a member's name, type or offset, an enumerator, an array's length."""
    words = _pick(image, rng, 1, 3, 4, 5, 6, 13, 14, 15, 17, 19)
    if words is None or len(words) < 4:
        return
    at = rng.randrange(3, len(words))
    kind = rng.randrange(4)
    if kind == 0:
        words[at] = image.id(rng)
    elif kind == 1:
        words[at] = image.string(rng)
    elif kind == 2:
        words[at] = number(rng, words[at], 32)
    else:
        words[at] = words[rng.randrange(3, len(words))]


def double_member(image: BtfImage, rng: Random) -> None:
    """A member is there twice, or many times."""
    words = _pick(image, rng, 4, 5, 6, 13, 15, 19)
    if words is None or len(words) < 5:
        return
    size = ELEMENT[words[1] >> 24 & 0x7F]
    times = rng.choice((1, 1, 2, 30))
    words += words[3 : 3 + size] * times
    words[1] += times


def double_type(image: BtfImage, rng: Random) -> None:
    """A type is there twice; the copy is the last, so that no id changes."""
    words = _pick(image, rng)
    if words is not None:
        for _ in range(rng.choice((1, 1, 1, 10))):
            image.types.append(list(words))


def swap_types(image: BtfImage, rng: Random) -> None:
    """Two types change their ids: what referred to one now refers to the other."""
    if image.types:
        i, j = rng.randrange(len(image.types)), rng.randrange(len(image.types))
        image.types[i], image.types[j] = image.types[j], image.types[i]


def drop_type(image: BtfImage, rng: Random) -> None:
    """A type is gone, and all later ids are off by one."""
    if image.types:
        del image.types[rng.randrange(len(image.types))]


def nest(image: BtfImage, rng: Random) -> None:
    """A chain of structs without names, each with the next one twice or more: it doubles at every level."""
    depth, width = rng.choice((3, 12, 40)), rng.choice((1, 2, 3))
    kind = rng.choice((4, 5, 3, 13))
    name = image.string(rng) if rng.random() < 0.3 else 0
    for _ in range(depth):
        target = len(image.types) + 2
        if kind == 3:
            image.types.append([0, 3 << 24, 0, target, 1, rng.choice((0, 1, 2))])
        elif kind == 13:
            image.types.append([0, 13 << 24 | width, target, *([0, target] * width)])
        else:
            image.types.append([name, kind << 24 | width, 8, *([0, target, 0] * width)])
    image.types.append([0, 4 << 24, 0] if rng.random() < 0.5 else [image.string(rng), 1 << 24, 4, 32])
    words = _pick(image, rng)
    if words is not None:
        words[2] = len(image.types) - depth


def change_strings(image: BtfImage, rng: Random) -> None:
    """The string section, blindly, or without a NUL between two strings."""
    if rng.random() < 0.5 and image.strings:
        image.strings[rng.randrange(len(image.strings))] = ord("_")
    else:
        image.strings = bytearray(flip(bytes(image.strings), rng))


def swap_order(image: BtfImage, _rng: Random) -> None:
    """The other byte order."""
    image.order = "<" if image.order == ">" else ">"


CHANGES: tuple[Change, ...] = (
    change_header, change_kind, change_kind, change_count, change_count, change_flag, change_size, change_size,
    change_size, change_name, change_name, change_member, change_member, change_member, change_member, double_member,
    double_type, swap_types, drop_type, nest, change_strings, swap_order,
)  # fmt: skip


def change_btf(data: bytes, rng: Random) -> bytes:
    """The blob with some changes that leave its structure whole; any bytes are taken."""
    try:
        image = BtfImage(data)
    except (ValueError, struct.error):
        return flip(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        rng.choice(CHANGES[1:] if rng.random() < 0.95 else CHANGES)(image, rng)
    built = image.build()
    return flip(built, rng) if rng.random() < 0.05 else built


def change_ext(data: bytes, rng: Random) -> bytes:
    """A .BTF.ext section with some words changed, mostly those of records."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(out) < 40 or rng.random() < 0.1:
            return flip(bytes(out), rng)
        order = "<" if out[:2] == b"\x9f\xeb" else ">"
        if rng.random() < 0.15:
            at = rng.randrange(1, 8) * 4
            struct.pack_into(order + "I", out, at, number(rng, len(out), 32))
            continue
        at = rng.randrange(8, len(out) // 4) * 4
        (old,) = struct.unpack_from(order + "I", out, at)
        value = rng.choice((rng.randrange(13), rng.randrange(64) * 8, rng.randrange(400), number(rng, old, 32)))
        struct.pack_into(order + "I", out, at, value)
    return bytes(out)
