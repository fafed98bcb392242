"""Inputs made from others with knowledge of their structure: an object's BTF is changed as BTF, and so on."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fuzz import elfimage
from tests.fuzz.btfimage import change_btf, change_ext
from tests.fuzz.elfimage import Image, flip
from tests.fuzz.wire import GRAM, TALK, change_datagrams, change_talk

if TYPE_CHECKING:
    from random import Random

MAX_SIZE = 1 << 16


def mutate(data: bytes, rng: Random, max_size: int = MAX_SIZE) -> bytes:
    """The input with one change or several, at most `max_size` bytes long."""
    if rng.random() < 0.08:
        made = flip(data, rng)
    elif data[:4] == b"\x7fELF":
        made = _change_elf(data, rng)
    elif data[:2] in (b"\x9f\xeb", b"\xeb\x9f"):
        made = change_btf(data, rng)
    elif data[:4] == TALK:
        made = change_talk(data, rng)
    elif data[:4] == GRAM:
        made = change_datagrams(data, rng)
    elif data[4:6] in (b"\x9f\xeb", b"\xeb\x9f"):
        made = _change_pair(data, rng)
    else:
        made = flip(data, rng)
    return made if len(made) <= max_size else flip(data, rng)[:max_size]


def _change_pair(data: bytes, rng: Random) -> bytes:
    """A length, .BTF.ext, .BTF: the input of the target `ext`."""
    size = int.from_bytes(data[:4], "little")
    ext, btf = data[4 : 4 + size], data[4 + size :]
    if rng.random() < 0.6:
        ext = change_ext(ext, rng)
    if rng.random() < 0.6:
        btf = change_btf(btf, rng)
    return len(ext).to_bytes(4, "little") + ext + btf


def _change_elf(data: bytes, rng: Random) -> bytes:
    try:
        image = Image(data)
    except (ValueError, struct.error):
        return flip(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        choice = rng.random()
        if choice < 0.45:
            _within(image, ".BTF", change_btf, rng)
        elif choice < 0.55:
            _within(image, ".BTF.ext", change_ext, rng)
        else:
            rng.choice(elfimage.CHANGES)(image, rng)
    try:
        return image.build()
    except struct.error:
        return flip(data, rng)


def _within(image: Image, name: str, change: Callable[[bytes, Random], bytes], rng: Random) -> None:
    index = image.find(name)
    if index is not None:
        image.bodies[index] = bytearray(change(bytes(image.bodies[index]), rng))
