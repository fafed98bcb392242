"""What a feature is, and the small programs and maps that the rows try."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple

from pybpfload import insn
from pybpfload._sys import attrs, bpf
from pybpfload._sys import maps as sys_maps
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.btf.types import Kind
from pybpfload.errors import UnsupportedError
from pybpfload.insn import Insn
from pybpfload.targets import kernel_btf
from pybpfload.uapi import MapType, ProgType

__all__ = [
    "EXIT_0",
    "Feature",
    "call",
    "is_errno",
    "kernel_type",
    "load",
    "loads",
    "map_of",
    "mov",
    "program",
    "program_attr",
]

EXIT = Insn(insn.EXIT, 0, 0, 0, 0)


class Feature(NamedTuple):
    """One ability.

    Attributes:
        title: in the kernel's terms.
        since: the first version that has it, for people.
        probe: tries it; an OSError means no, and says why.
    """

    title: str
    since: str
    probe: Callable[[], bool]


def mov(reg: int, value: int) -> Insn:
    """``rREG = value``."""
    return Insn(0xB7, reg, 0, 0, value)


def call(helper: int, src: int = 0) -> Insn:
    """A call of a helper, or of what `src` says."""
    return Insn(insn.CALL, 0, src, 0, helper)


EXIT_0 = (mov(0, 0), EXIT)


def code_of(*instructions: Insn) -> bytes:
    """The bytes of instructions."""
    code = bytearray(len(instructions) * insn.SLOT)
    for slot, one in enumerate(instructions):
        insn.write(code, slot, one)
    return bytes(code)


def program_attr(
    type: ProgType,
    *instructions: Insn,
    attach_type: int = 0,
    btf_id: int = 0,
    target_fd: int = 0,
    flags: int = 0,
    btf_fd: int = -1,
    functions: tuple[tuple[int, int], ...] = (),
    fd_array: tuple[int, ...] = (),
    fd_array_cnt: int = 0,
) -> attrs.ProgLoad:
    """What BPF_PROG_LOAD takes for a program; `functions` are (slot, type id)."""
    code = code_of(*instructions)
    text, gpl = bpf.buffer(code), bpf.buffer(b"GPL\0")
    attr = attrs.ProgLoad(prog_type=type, insn_cnt=len(instructions), prog_flags=flags)
    attr.insns, attr.license = bpf.address_of(text), bpf.address_of(gpl)
    attr.expected_attach_type, attr.attach_btf_id, attr.attach_prog_fd = attach_type, btf_id, target_fd
    attr.keep(text, gpl)
    if btf_fd >= 0:
        rows = bpf.buffer(b"".join(struct.pack("=II", *row) for row in functions))
        attr.prog_btf_fd, attr.func_info, attr.func_info_cnt = btf_fd, bpf.address_of(rows), len(functions)
        attr.func_info_rec_size = 8
        attr.keep(rows)
    if fd_array:
        fds = bpf.buffer(struct.pack(f"={len(fd_array)}i", *fd_array))
        attr.fd_array, attr.fd_array_cnt = bpf.address_of(fds), fd_array_cnt
        attr.keep(fds)
    return attr


def load(type: ProgType, *instructions: Insn, log_size: int = 0, **options: Any) -> tuple[int, str]:
    """Try a program: (file descriptor or minus the errno, log)."""
    return sys_progs.load(program_attr(type, *(instructions or EXIT_0), **options), "", log_size=log_size)


@contextmanager
def program(type: ProgType, *instructions: Insn, **options: Any) -> Iterator[int]:
    """The file descriptor of a program that is closed at the end.

    Raises:
        SyscallError: the kernel refused.
    """
    result, _ = load(type, *instructions, **options)
    if result < 0:
        raise bpf.error_of(-result, f"BPF_PROG_LOAD {type.name.lower()}")
    fd = Fd(result, "probe")
    try:
        yield fd.fileno()
    finally:
        fd.close()


def loads(type: ProgType, *instructions: Insn, **options: Any) -> bool:
    """True; or what the kernel says to the program, as an exception."""
    with program(type, *instructions, **options):
        return True


@contextmanager
def map_of(type: MapType, key: int = 4, value: int = 4, entries: int = 1, **fields: int) -> Iterator[int]:
    """The file descriptor of a map that is closed at the end; `fields` are those of BPF_MAP_CREATE."""
    attr = attrs.MapCreate(map_type=type, key_size=key, value_size=value, max_entries=entries, **fields)
    fd = sys_maps.create(attr, "")
    try:
        yield fd.fileno()
    finally:
        fd.close()


def kernel_type(name: str, kind: Kind = Kind.FUNC) -> int:
    """The id of a type in the kernel's BTF, to attach to.

    Raises:
        UnsupportedError: the kernel has none, or no BTF.
    """
    btf = kernel_btf()
    for type_id in btf.ids(name):
        if btf.type(type_id).kind is kind:
            return type_id
    raise UnsupportedError(f"{kind.name.lower()} `{name}` in its BTF")


def is_errno(result: int, *expected: int, what: str = "bpf(2)") -> bool:
    """True when a call failed in one of the ways expected. What it made instead is closed.

    Raises:
        SyscallError: it failed in another way.
    """
    if result >= 0:
        os.close(result)
        return False
    if -result not in expected:
        raise bpf.error_of(-result, what)
    return True
