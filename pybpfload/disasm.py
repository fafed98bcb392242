"""BPF instructions as text, in the notation of the verifier's log and of bpftool.

What an operand means is not always in the instruction: names of maps and functions come from whoever
knows them, as `Names`.

Source: Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pybpfload import insn
from pybpfload.helper_ids import HELPERS
from pybpfload.insn import Insn

__all__ = ["Line", "Names", "disassemble"]

SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
MODE = 0xE0
ABS, IND = 0x20, 0x40
REGISTER = 0x08  # the source is a register, not `imm`
ARITHMETIC = {
    0x00: "+=", 0x10: "-=", 0x20: "*=", 0x30: "/=", 0x40: "|=", 0x50: "&=", 0x60: "<<=", 0x70: ">>=",
    0x90: "%=", 0xA0: "^=", 0xB0: "=", 0xC0: "s>>=",
}  # fmt: skip
SIGNED = {0x30: "s/=", 0x90: "s%="}
NEGATE, BYTE_SWAP = 0x80, 0xD0
COMPARE = {
    0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&", 0x50: "!=", 0x60: "s>", 0x70: "s>=", 0xA0: "<", 0xB0: "<=",
    0xC0: "s<", 0xD0: "s<=",
}  # fmt: skip
JUMP, CALL, EXIT, CONDITIONAL_OR_NOT = 0x00, 0x80, 0x90, 0xE0
ATOMIC_PLAIN = {0x00: "+=", 0x40: "|=", 0x50: "&=", 0xA0: "^="}
ATOMIC_FETCH = {0x01: "add", 0x41: "or", 0x51: "and", 0xA1: "xor"}
EXCHANGE, COMPARE_AND_EXCHANGE, LOAD_ACQUIRE, STORE_RELEASE = 0xE1, 0xF1, 0x100, 0x110
PER_CPU = -1  # the kernel's own: the address of this CPU's copy


class Line(NamedTuple):
    """One instruction.

    Attributes:
        slot: where it begins; loads of 64 bits take two slots.
        code: its first byte.
    """

    slot: int
    code: int
    text: str


class Names:
    """What operands are called. This one knows just the numbers of helpers."""

    def helper(self, number: int) -> str:
        """What follows ``call``."""
        name = f"bpf_{HELPERS[number]}" if 0 < number < len(HELPERS) else "unknown"
        return f"{name}#{number}"

    def subprogram(self, slot: int, op: Insn) -> str:
        """A function of the same program, called at a slot."""
        del slot
        return f"pc{op.imm:+d}"

    def kernel_function(self, op: Insn) -> str:
        """A function of the kernel."""
        return f"kernel-function#{op.imm}"

    def wide(self, low: Insn, high: Insn) -> str:
        """What a load of 64 bits loads."""
        if low.src == insn.PSEUDO_MAP_FD:
            return f"map[fd:{low.imm}]"
        if low.src == insn.PSEUDO_MAP_VALUE:
            return f"map[fd:{low.imm}][0]+{high.imm & 0xFFFFFFFF}"
        if low.src == insn.PSEUDO_FUNC:
            return f"subprog[{low.imm:+d}]"
        return f"{low.imm & 0xFFFFFFFF | (high.imm & 0xFFFFFFFF) << 32:#x}"


def disassemble(code: bytes | bytearray, names: Names | None = None) -> Iterator[Line]:
    """Each instruction; what cannot be is shown as ``BUG_`` and its code."""
    names = names or Names()
    slot, count = 0, len(code) // insn.SLOT
    while slot < count:
        op = insn.read(code, slot)
        if op.code == insn.LD_IMM64 and slot + 1 < count:
            high = insn.read(code, slot + 1)
            yield Line(slot, op.code, f"r{op.dst} = {names.wide(op, high)}")
            slot += 2
            continue
        yield Line(slot, op.code, _BY_CLASS[op.cls](op, slot, names) or f"BUG_{op.code:02x}")
        slot += 1


def _place(op: Insn, base: int, *, signed: bool = False) -> str:
    return f"{'s' if signed else 'u'}{SIZES[op.code & 0x18] * 8} *)(r{base} {op.off:+d})"


def _load(op: Insn, slot: int, names: Names) -> str:
    del slot, names
    size = f"u{SIZES[op.code & 0x18] * 8}"
    if op.code & MODE == ABS:
        return f"r0 = *({size} *)skb[{op.imm}]"
    if op.code & MODE == IND:
        return f"r0 = *({size} *)skb[r{op.src} + {op.imm}]"
    return ""


def _load_memory(op: Insn, slot: int, names: Names) -> str:
    del slot, names
    if op.code & MODE not in (insn.MODE_MEM, insn.MODE_MEMSX):
        return ""
    return f"r{op.dst} = *({_place(op, op.src, signed=op.code & MODE == insn.MODE_MEMSX)}"


def _store(op: Insn, slot: int, names: Names) -> str:
    del slot, names
    if op.code & MODE == insn.MODE_MEM:
        return f"*({_place(op, op.dst)} = {op.imm}"
    return "nospec" if op.code & MODE == 0xC0 else ""


def _store_register(op: Insn, slot: int, names: Names) -> str:
    del slot, names
    if op.code & MODE == insn.MODE_MEM:
        return f"*({_place(op, op.dst)} = r{op.src}"
    return _atomic(op) if op.code & MODE == insn.MODE_ATOMIC else ""


def _atomic(op: Insn) -> str:
    place = f"({_place(op, op.dst)}"
    wide = "64" if SIZES[op.code & 0x18] == 8 else ""
    kind = op.imm
    if kind in ATOMIC_PLAIN:
        return f"lock *{place} {ATOMIC_PLAIN[kind]} r{op.src}"
    if kind in ATOMIC_FETCH:
        return f"r{op.src} = atomic{wide}_fetch_{ATOMIC_FETCH[kind]}({place}, r{op.src})"
    if kind == EXCHANGE:
        return f"r{op.src} = atomic{wide}_xchg({place}, r{op.src})"
    if kind == COMPARE_AND_EXCHANGE:
        return f"r0 = atomic{wide}_cmpxchg({place}, r0, r{op.src})"
    if kind == LOAD_ACQUIRE:
        return f"r{op.dst} = load_acquire(({_place(op, op.src)})"
    if kind == STORE_RELEASE:
        return f"store_release({place}, r{op.src})"
    return ""


def _arithmetic(op: Insn, slot: int, names: Names) -> str:
    del slot, names
    kind, wide = op.code & 0xF0, op.cls == insn.ALU64
    r = "r" if wide else "w"
    dst, src = f"{r}{op.dst}", f"{r}{op.src}"
    if kind == NEGATE:
        return f"{dst} = -{dst}"
    if kind == BYTE_SWAP:
        swap = "bswap" if wide else "be" if op.code & REGISTER else "le"
        return f"r{op.dst} = {swap}{op.imm} r{op.dst}"
    if kind not in ARITHMETIC:
        return ""
    sign = ARITHMETIC[kind]
    if op.off and kind == 0xB0 and op.code & REGISTER:
        if op.off == 1 and wide:
            return f"{dst} = addr_space_cast({src}, {op.imm >> 16 & 0xFFFF}, {op.imm & 0xFFFF})"
        if op.off == PER_CPU:
            return f"{dst} = &(void __percpu *)({src})"
        return f"{dst} = (s{op.off}){src}"
    if op.off == 1:
        sign = SIGNED.get(kind, sign)
    return f"{dst} {sign} {src if op.code & REGISTER else op.imm}"


def _jump(op: Insn, slot: int, names: Names) -> str:
    kind, wide = op.code & 0xF0, op.cls == insn.JMP
    if kind == CALL and wide:
        if op.src == insn.PSEUDO_CALL:
            return f"call {names.subprogram(slot, op)}"
        return f"call {names.kernel_function(op) if op.src == insn.PSEUDO_KFUNC_CALL else names.helper(op.imm)}"
    if kind == EXIT and wide:
        return "exit"
    if kind == JUMP:
        if op.code & REGISTER:
            return f"goto r{op.dst}"
        return f"goto pc{op.off if wide else op.imm:+d}"
    if kind == CONDITIONAL_OR_NOT and wide:
        return f"{'or_' if op.src else 'may_'}goto pc{op.off:+d}"
    if kind not in COMPARE:
        return ""
    r = "r" if wide else "w"
    right = f"{r}{op.src}" if op.code & REGISTER else f"{op.imm & 0xFFFFFFFF:#x}"
    return f"if {r}{op.dst} {COMPARE[kind]} {right} goto pc{op.off:+d}"


_BY_CLASS = (_load, _load_memory, _store, _store_register, _arithmetic, _jump, _jump, _arithmetic)
