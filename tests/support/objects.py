"""The small objects of tests/data, and what to do with their bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pybpfload

DATA = Path(__file__).resolve().parent.parent / "data"


def path_of(name: str) -> Path:
    """Where the object of a source is."""
    return DATA / f"{name}.bpf.o"


def read(name: str) -> pybpfload.ObjectSpec:
    """Its spec, read anew."""
    return pybpfload.read_object(path_of(name))


def only(name: str, *programs: str, **variables: object) -> pybpfload.BpfObject:
    """It in the kernel with only these of its programs, and with these variables."""
    spec = read(name)
    for program in spec.programs.values():
        program.autoload = program.name in programs
    for variable, value in variables.items():
        spec.variables[variable] = value
    return pybpfload.load(spec)


def sections(data: bytes) -> list[tuple[int, ...]]:
    """The raw section headers of a little-endian 64-bit ELF file."""
    (at,) = struct.unpack_from("<Q", data, 0x28)
    (count,) = struct.unpack_from("<H", data, 0x3C)
    return [struct.unpack_from("<IIQQQQIIQQ", data, at + 64 * i) for i in range(count)]
