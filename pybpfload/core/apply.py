"""A decided relocation, written into its instruction.

Source: bpf_core_patch_insn() in libbpf.
"""

from __future__ import annotations

from pybpfload import insn
from pybpfload.btf.ext import CoreKind
from pybpfload.core.compute import Resolution
from pybpfload.errors import CoreError
from pybpfload.insn import Insn

__all__ = ["patch"]

POISON = Insn(insn.CALL, 0, 0, 0, insn.POISON_CORE)
MASK_64 = 0xFFFFFFFFFFFFFFFF


def patch(code: bytearray, slot: int, resolution: Resolution) -> bool:
    """Patch the instruction at a slot; returns whether it had to be poisoned.

    A poisoned instruction calls a helper that does not exist: harmless where the verifier finds it
    dead (behind an exists-check), a clear error elsewhere.

    Raises:
        CoreError: the instruction does not hold what the relocation says it does.
    """
    op = insn.read(code, slot)
    local, target = resolution.local, resolution.target
    assert target is not None, "only what was decided can be patched in"
    wide = insn.is_ld_imm64(op)
    if wide and (slot + 2) * insn.SLOT > len(code):
        raise CoreError("a 64-bit load is cut off")
    if resolution.poisoned:
        for i in range(2 if wide else 1):
            insn.write(code, slot + i, POISON)
        return True

    def expect(holds: int, mask: int) -> None:
        if local.validate and holds & mask != local.number & mask:
            raise CoreError(
                f"{resolution.local_access}: the instruction (opcode {op.code:#x}) holds {holds}, "
                f"but the object's BTF says {local.number}"
            )

    if op.cls in (insn.ALU, insn.ALU64):
        if op.code & 8:
            raise CoreError(f"{resolution.local_access}: opcode {op.code:#x} has no immediate")
        expect(op.imm, 0xFFFFFFFF)
        insn.write(code, slot, op._replace(imm=target.number))
    elif op.cls in (insn.LDX, insn.ST, insn.STX):
        expect(op.off, 0xFFFF)
        if target.number > 0x7FFF:
            raise CoreError(f"{resolution.local_access}: offset {target.number} does not fit in 16 bits")
        if resolution.bad_resize:
            insn.write(code, slot, POISON)
            return True
        new = op._replace(off=target.number)
        if local.size != target.size:
            held = insn.SIZE_OF[op.code & 0x18]
            if held != local.size or target.size not in insn.SIZES:
                raise CoreError(
                    f"{resolution.local_access}: a load or store of {held} bytes cannot become one of {target.size}, "
                    f"expected {local.size}"
                )
            new = new._replace(code=op.code & ~0x18 | insn.SIZES[target.size])
        insn.write(code, slot, new)
    elif wide:
        high = insn.read(code, slot + 1)
        if op.src or op.off or high.code or high.src or high.dst or high.off:
            raise CoreError(f"{resolution.local_access}: a 64-bit load with other fields set")
        holds, number = op.imm & 0xFFFFFFFF | (high.imm & 0xFFFFFFFF) << 32, target.number
        if resolution.relo.kind is CoreKind.ENUMVAL_VALUE and holds == local.number - (1 << 32) & MASK_64:
            # Before clang 15, BTF did not say that an enum is signed; the instruction does.
            holds, number = local.number, number - (1 << 32) if number >> 31 == 1 else number
        expect(holds, MASK_64)
        insn.write(code, slot, op._replace(imm=number & 0xFFFFFFFF))
        insn.write(code, slot + 1, high._replace(imm=number >> 32 & 0xFFFFFFFF))
    else:
        raise CoreError(f"{resolution.local_access}: opcode {op.code:#x} cannot be relocated")
    return False
