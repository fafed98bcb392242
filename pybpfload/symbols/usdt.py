"""USDT: the probes that a program's authors have put into it, described in .note.stapsdt.

A note has the address of a nop, that of a counter (the semaphore) which says whether anybody looks, and
where the arguments are at that moment, in the assembler's words: ``-4@%eax 8@16(%rsp)``.

Source: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pybpfload.closest import closest
from pybpfload.errors import ObjectError, printable
from pybpfload.symbols.image import Image

__all__ = ["UsdtSite", "usdt_sites"]

NOTES, BASE = ".note.stapsdt", ".stapsdt.base"
OWNER, TYPE = b"stapsdt\0", 3
MAX_SITES = 100_000


class UsdtSite(NamedTuple):
    """One place of a probe: a probe has as many as the compiler made of it.

    Attributes:
        address: of the nop, in the file's own addresses.
        offset: the same in the file.
        semaphore: of the counter, in the file; 0 without.
        arguments: as the note has them.
    """

    provider: str
    name: str
    address: int
    offset: int
    semaphore: int
    arguments: str


def usdt_sites(image: Image, provider: str = "", name: str = "") -> list[UsdtSite]:
    """The places of a probe; "" stands for every provider, and every name.

    Raises:
        ObjectError: the file has no such probe; names the closest.
    """
    elf = image.elf
    section = elf.section(NOTES)
    if section is None:
        raise ObjectError(f"{elf.name}: no USDT probes: it has no section {NOTES}")
    base = elf.section(BASE)
    form = struct.Struct((">" if elf.big_endian else "<") + ("QQQ" if elf.is_64 else "III"))
    found: list[UsdtSite] = []
    others: set[str] = set()
    for note in image.notes(section):
        parts = note.content[form.size :].split(b"\0", 3)
        if note.owner != OWNER or note.type != TYPE or len(note.content) < form.size or len(parts) < 3:
            continue
        pc, noted_base, semaphore = form.unpack_from(note.content)
        texts = [part.decode("utf-8", "backslashreplace") for part in parts[:3]]
        if (provider and texts[0] != provider) or (name and texts[1] != name):
            others.add(f"{texts[0]}:{texts[1]}")
            continue
        # prelink moves code, but does not know of these notes.
        moved = base.address - noted_base if base is not None and noted_base else 0
        shown = f"probe `{printable(texts[0])}:{printable(texts[1])}`"
        offset = image.offset_of(pc + moved, shown)
        counter = image.offset_of(semaphore + moved, f"semaphore of {shown}", code=False) if semaphore else 0
        found.append(UsdtSite(texts[0], texts[1], pc + moved, offset, counter, texts[2]))
        if len(found) > MAX_SITES:
            raise ObjectError(f"{elf.name}: more than {MAX_SITES} places of {shown}")
    if not found:
        close = closest(f"{provider}:{name}", sorted(others))
        raise ObjectError(
            f"{elf.name}: no USDT probe `{printable(provider)}:{printable(name)}` among {len(others)} in {NOTES}"
            + (f"; closest is `{printable(close)}`" if close else "")
        )
    return found
