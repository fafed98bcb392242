"""The code of a program as the verifier left it: what really runs, but for the machine code.

The kernel has put its own things in: helpers are addresses relative to one of its functions, maps are
ids, accesses to contexts are accesses to kernel structs.

Source: bpf_insn_prepare_dump() in kernel/bpf/syscall.c.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pybpfload import insn
from pybpfload._sys import progs as sys_progs
from pybpfload.btf.blob import Btf
from pybpfload.btf.types import Func
from pybpfload.disasm import Names, disassemble
from pybpfload.errors import PrivilegeError, printable
from pybpfload.helper_ids import HELPERS
from pybpfload.insn import Insn

__all__ = ["Xlated", "XlatedInsn", "read_xlated"]

KALLSYMS = "/proc/kallsyms"
BASE = b" __bpf_call_base\n"


class XlatedInsn(NamedTuple):
    """One instruction.

    Attributes:
        slot: where it begins.
        code: its first byte.
        text: in the notation of the verifier's log.
        source: ``file.c:12: the line`` where a line begins, else "".
        function: the name, where a function begins, else "".
    """

    slot: int
    code: int
    text: str
    source: str
    function: str


class Xlated(NamedTuple):
    """A program's code; str() is a listing with source lines.

    Attributes:
        code: as the kernel gave it, with helpers as distances in its memory.
    """

    insns: tuple[XlatedInsn, ...]
    code: bytes

    def __str__(self) -> str:
        lines: list[str] = []
        for one in self.insns:
            if one.function:
                lines += [*[""] * bool(lines), f"{one.function}:"]
            if one.source:
                lines.append(f"; {one.source}")
            lines.append(f"{one.slot:4}: ({one.code:02x}) {one.text}")
        return "\n".join(lines)


def read_xlated(fd: int, name: str) -> Xlated:
    """The code of the program behind a file descriptor.

    Raises:
        PrivilegeError: this process may not see it.
    """
    info, arrays = sys_progs.info_arrays(fd, "xlated_prog_insns", "line_info", "func_info")
    code = arrays["xlated_prog_insns"]
    if not code:
        raise PrivilegeError(1, f"BPF_OBJ_GET_INFO_BY_FD {name}", "the kernel does not show the code of programs")
    blob = sys_progs.btf_data(info.btf_id) if info.btf_id else b""
    btf = Btf(blob, name=name) if blob else None
    sources, functions = _sources(btf, arrays["line_info"], info.line_info_rec_size), {}
    for slot, type_id in _pairs(arrays["func_info"], info.func_info_rec_size):
        found = btf.type(type_id) if btf else None
        functions[slot] = found.name if isinstance(found, Func) else f"function {slot}"
    names = _KernelNames(functions)
    insns = tuple(
        XlatedInsn(line.slot, line.code, line.text, sources.get(line.slot, ""), functions.get(line.slot, ""))
        for line in disassemble(code, names)
    )
    return Xlated(insns, code)


def _pairs(data: bytes, stride: int) -> list[tuple[int, int]]:
    return [struct.unpack_from("=II", data, at) for at in range(0, len(data), stride or 8)]


def _sources(btf: Btf | None, data: bytes, stride: int) -> dict[int, str]:
    """Slot -> source line. A line that goes on is not repeated."""
    sources: dict[int, str] = {}
    if btf is None:
        return sources
    last = ""
    for at in range(0, len(data), stride or 16):
        slot, file, line, number = struct.unpack_from("=IIII", data, at)
        where = f"{btf.string(file).rsplit('/', 1)[-1]}:{number >> 10}: {btf.string(line).strip()}"
        if where != last:
            last = where
            sources[slot] = printable(where)
    return sources


class _KernelNames(Names):
    """Names as they are in the kernel: helpers by address, maps by id."""

    def __init__(self, functions: dict[int, str]) -> None:
        self._functions = functions
        self._symbols: _Symbols | None = None

    def helper(self, number: int) -> str:
        if 0 < number < len(HELPERS):
            return super().helper(number)  # a tail call: it is no call
        if self._symbols is None:
            self._symbols = _Symbols()
        name = self._symbols.near_base(number) if number else ""
        return f"{name or 'unknown'}#{number}"

    def subprogram(self, slot: int, op: Insn) -> str:
        # The immediate is the function's number now, the offset has the distance; far ones do not fit.
        called = self._functions.get(slot + 1 + op.off, "")
        return f"pc{op.off:+d}" + (f"#{called}" if called else "")

    def wide(self, low: Insn, high: Insn) -> str:
        if low.src == insn.PSEUDO_MAP_FD:
            return f"map[id:{low.imm}]"
        if low.src == insn.PSEUDO_MAP_VALUE:
            return f"map[id:{low.imm}][0]+{high.imm & 0xFFFFFFFF}"
        return super().wide(low, high)


class _Symbols:
    """Kernel functions by address; empty when addresses are hidden from this process (kptr_restrict)."""

    def __init__(self) -> None:
        with open(KALLSYMS, "rb") as file:
            data = file.read()
        end = data.find(BASE)
        begin = data.rfind(b"\n", 0, end) + 1
        self._base = int(data[begin:end].split(b" ")[0], 16) if end >= 0 else 0
        self._data = data if self._base else b""

    def near_base(self, distance: int) -> str:
        """The function at a distance from what calls of helpers are relative to."""
        wanted = b"%016x " % ((self._base + distance) & (1 << 64) - 1)
        at = self._data.find(wanted)
        if not self._data or at < 0:
            return ""
        line = self._data[at : self._data.find(b"\n", at)]
        return line.split(b" ")[2].split(b"\t")[0].decode("ascii", "replace")
