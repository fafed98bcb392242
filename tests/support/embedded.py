"""BPF objects inside other files: tools that were built with skeletons carry them in their data."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MAGIC = b"\x7fELF\x02"
HEADER = 64
ET_REL, EM_BPF = 1, 247
SHT_NOBITS = 8


class Embedded(NamedTuple):
    """An object, and where it was found."""

    source: Path
    offset: int
    data: bytes

    @property
    def digest(self) -> str:
        """The same for the same contents."""
        return hashlib.sha256(self.data).hexdigest()


def embedded_objects(source: Path) -> list[Embedded]:
    """Every relocatable BPF object in the bytes of a file, which may be such an object itself."""
    data = source.read_bytes()
    found = []
    at = data.find(MAGIC)
    while at >= 0:
        size = object_size(data, at)
        if size:
            found.append(Embedded(source, at, data[at : at + size]))
        at = data.find(MAGIC, at + max(1, size))
    return found


def object_size(data: bytes, at: int) -> int:
    """How long the BPF object is that begins at an offset; 0 when none does.

    An ELF file does not say how long it is: it ends with its last section or with the section headers.
    """
    if at + HEADER > len(data) or data[at + 5] not in (1, 2):
        return 0
    order = "<" if data[at + 5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", data, at + 16)
    (headers,) = struct.unpack_from(order + "Q", data, at + 40)
    size, _phentsize, phnum, stride, count, names = struct.unpack_from(order + "6H", data, at + 52)
    if (kind, machine, size, phnum, stride) != (ET_REL, EM_BPF, HEADER, 0, 64) or names >= count:
        return 0
    end = headers + count * stride
    if at + end > len(data):
        return 0
    for i in range(1, count):
        section = struct.unpack_from(order + "IIQQQQIIQQ", data, at + headers + i * stride)
        if section[1] != SHT_NOBITS:
            end = max(end, section[4] + section[5])
    return end if at + end <= len(data) else 0


def extract(sources: Iterable[Path], folder: Path) -> Iterator[Path]:
    """Write the embedded objects of files to ``NAME.bpf.o``, one for each that is new; yields their paths.

    Libbpf and we call an object by its file's name up to the first dot, and its data maps after it.
    """
    seen = set()
    for source in sources:
        found = embedded_objects(source)
        for i, entry in enumerate(found):
            if entry.digest in seen:
                continue
            seen.add(entry.digest)
            stem = source.name.split(".")[0] + (f"-{i}" if len(found) > 1 else "")
            path = folder / f"{stem}.bpf.o"
            if source.suffix == ".elf":  # objects of both byte orders: the suffix is part of the name
                path = folder / f"{source.stem}.bpf.o"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry.data)
            yield path
