"""BPF instructions: eight bytes each, patched in place.

Code is a ``bytearray`` in the host's byte order. An index counts slots of eight bytes; a 64-bit
immediate load takes two.

Source: Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

__all__ = ["Insn", "is_call_to_subprog", "is_func_address", "is_ld_imm64", "read", "swap", "write"]

SLOT = 8
LITTLE = sys.byteorder == "little"
_FORM = struct.Struct("=BBhi")

# Classes and codes
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
LD_IMM64 = 0x18
CALL = 0x85
EXIT = 0x95
MODE_MEM, MODE_MEMSX, MODE_ATOMIC = 0x60, 0x80, 0xC0
SIZES = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}  # bytes -> BPF_SIZE
SIZE_OF = {code: size for size, code in SIZES.items()}

# What src_reg of a 64-bit immediate load says
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID, PSEUDO_FUNC, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE = range(1, 7)
# ... and of a call
PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 2

POISON_CORE = 0xBAD2310  # libbpf's number: the verifier shows it, and so can be searched for
POISON_MAP = 2_001_000_000
POISON_KFUNC = 2_002_000_000


class Insn(NamedTuple):
    """One slot."""

    code: int
    dst: int
    src: int
    off: int
    imm: int

    @property
    def cls(self) -> int:
        """The instruction class: the low three bits of the code."""
        return self.code & 7


def read(code: bytes | bytearray, index: int) -> Insn:
    """The slot at an index."""
    op, regs, off, imm = _FORM.unpack_from(code, index * SLOT)
    return Insn(op, regs & 15, regs >> 4, off, imm) if LITTLE else Insn(op, regs >> 4, regs & 15, off, imm)


def write(code: bytearray, index: int, insn: Insn) -> None:
    """Replace the slot at an index; `imm` may be given signed or unsigned."""
    regs = insn.dst | insn.src << 4 if LITTLE else insn.dst << 4 | insn.src
    imm = insn.imm & 0xFFFFFFFF
    _FORM.pack_into(code, index * SLOT, insn.code, regs, insn.off, imm - (1 << 32) if imm >> 31 else imm)


def swap(code: bytes) -> bytes:
    """The code in the other byte order."""
    out = bytearray(code)
    for at in range(0, len(out) - 7, SLOT):
        regs = out[at + 1]
        out[at + 1] = regs >> 4 | (regs & 15) << 4
        out[at + 2 : at + 4] = out[at + 3], out[at + 2]
        out[at + 4 : at + 8] = out[at + 4 : at + 8][::-1]
    return bytes(out)


def is_ld_imm64(insn: Insn) -> bool:
    """A load of 64 bits, which takes two slots."""
    return insn.code == LD_IMM64


def is_call_to_subprog(insn: Insn) -> bool:
    """A call from BPF to BPF."""
    return insn.code == CALL and insn.src == PSEUDO_CALL


def is_func_address(insn: Insn) -> bool:
    """A load of a function's address, for a callback."""
    return insn.code == LD_IMM64 and insn.src == PSEUDO_FUNC
