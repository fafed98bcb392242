"""Where the arguments of a USDT probe are: from the assembler's words to what libbpf's usdt.bpf.h reads.

Source: struct __bpf_usdt_spec in usdt.bpf.h; the operands are those of GCC's and Clang's inline assembly.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from pybpfload.errors import ObjectError, printable

__all__ = ["MAX_ARGUMENTS", "Argument", "pack_spec", "parse_arguments"]

MAX_ARGUMENTS = 12
MAX_TEXT = 4096
EM_X86_64, EM_AARCH64 = 62, 183
CONST, REG, REG_DEREF, SIB = range(4)
# val_off, arg_type, (idx_reg_off:12, scale_bitshift:4), reg_off, arg_signed, arg_bitshift
ARGUMENT = struct.Struct("=QBHxhBb")
TAIL = struct.Struct("=Qh6x")  # usdt_cookie, arg_cnt


class Argument(NamedTuple):
    """One argument.

    Attributes:
        kind: a constant, a register, memory at a register, or at the sum of two.
        value: the constant, or the offset in memory.
        register, other: as offsets in struct pt_regs.
        scale: of the second register, as a power of two.
        size: 1, 2, 4 or 8 bytes.
    """

    kind: int
    value: int
    register: int
    other: int
    scale: int
    size: int
    signed: bool


def _x86_registers() -> dict[str, int]:
    order = "r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss".split()
    found = {}
    for number, name in enumerate(order):
        if name[0] == "r" and name[1:].isdigit():
            names = [name, name + "d", name + "w", name + "b"]
        elif name in {"ax", "bx", "cx", "dx"}:
            names = ["r" + name, "e" + name, name, name[0] + "l"]
        elif name in {"si", "di", "bp", "sp"}:
            names = ["r" + name, "e" + name, name, name + "l"]
        else:
            names = ["rip"] if name == "ip" else []
        found.update(dict.fromkeys(names, 8 * number))
    return found


X86 = _x86_registers()
ARM64 = {
    **{f"{letter}{n}": 8 * n for letter in "xw" for n in range(31)},
    "sp": 248, "wsp": 248, "lr": 240, "fp": 232,
}  # fmt: skip
NUMBER = r"-?(?:0[xX][0-9a-fA-F]+|\d+)"
SIZE = re.compile(r"(-?)(\d+)@(.+)")
X86_MEMORY = re.compile(rf"({NUMBER})?\(%(\w+)(?:,\s*%(\w+)(?:,\s*([1248]))?)?\)")
X86_REGISTER, X86_CONSTANT = re.compile(r"%(\w+)"), re.compile(rf"\$({NUMBER})")
ARM_MEMORY = re.compile(rf"\[(\w+)(?:,\s*#?({NUMBER}))?\]")
ARM_REGISTER, ARM_CONSTANT = re.compile(r"([xw]\d+|sp|wsp|lr|fp)"), re.compile(rf"#?({NUMBER})")


def parse_arguments(text: str, machine: int) -> list[Argument]:
    """The arguments of a note.

    Args:
        machine: e_machine of the file: x86-64 or arm64.

    Raises:
        ObjectError: one cannot be understood; it is named.
    """
    if machine not in (EM_X86_64, EM_AARCH64):
        raise ObjectError(f"USDT arguments of ELF machine {machine} are unknown: expected x86-64 or arm64")
    if len(text) > MAX_TEXT:
        raise ObjectError(f"USDT arguments of {len(text)} characters")
    # Blanks divide arguments; within brackets they belong to one.
    words = re.findall(r"[^\s\[(]+(?:[\[(][^\])]*[\])])?|[\[(][^\])]*[\])]", text)
    if "".join(words) != re.sub(r"\s+(?![^\[(]*[\])])", "", text):
        raise ObjectError(f"USDT arguments `{printable(text)}` are malformed")
    if len(words) > MAX_ARGUMENTS:
        raise ObjectError(f"a USDT probe of {len(words)} arguments: at most {MAX_ARGUMENTS} can be read")
    return [_one(word, machine) for word in words]


def _one(word: str, machine: int) -> Argument:
    match = SIZE.fullmatch(word)
    if match and int(match[2]) in (1, 2, 4, 8):
        operand, size, signed = match[3], int(match[2]), bool(match[1])
        place = _x86(operand) if machine == EM_X86_64 else _arm64(operand)
        if place is not None:
            return Argument(*place, size, signed)
    raise ObjectError(
        f"USDT argument `{printable(word)}` cannot be read: expected SIZE@ and a register, memory or number"
    )


def _x86(operand: str) -> tuple[int, int, int, int, int] | None:
    if match := X86_CONSTANT.fullmatch(operand):
        return CONST, int(match[1], 0), 0, 0, 0
    if match := X86_REGISTER.fullmatch(operand):
        at = X86.get(match[1])
        return None if at is None else (REG, 0, at, 0, 0)
    if match := X86_MEMORY.fullmatch(operand):
        base, index = X86.get(match[2]), X86.get(match[3]) if match[3] else 0
        if base is None or index is None:
            return None
        scale = int(match[4] or 1).bit_length() - 1
        return SIB if match[3] else REG_DEREF, int(match[1] or "0", 0), base, index, scale
    return None


def _arm64(operand: str) -> tuple[int, int, int, int, int] | None:
    if match := ARM_CONSTANT.fullmatch(operand):
        return CONST, int(match[1], 0), 0, 0, 0
    if match := ARM_REGISTER.fullmatch(operand):
        at = ARM64.get(match[1])
        return None if at is None else (REG, 0, at, 0, 0)
    if match := ARM_MEMORY.fullmatch(operand):
        base = ARM64.get(match[1])
        return None if base is None else (REG_DEREF, int(match[2] or "0", 0), base, 0, 0)
    return None


def pack_spec(arguments: list[Argument], cookie: int) -> bytes:
    """A struct __bpf_usdt_spec."""
    raw = b"".join(
        ARGUMENT.pack(
            a.value & 0xFFFFFFFFFFFFFFFF, a.kind, a.other | a.scale << 12, a.register, a.signed, 64 - 8 * a.size
        )
        for a in arguments
    )
    empty = bytes(ARGUMENT.size * (MAX_ARGUMENTS - len(arguments)))
    return raw + empty + TAIL.pack(cookie & 0xFFFFFFFFFFFFFFFF, len(arguments))
