"""Functions of BPF programs that are in the kernel, as what other programs attach to: freplace, and fentry."""

from __future__ import annotations

from pybpfload._sys import progs as sys_progs
from pybpfload.btf.blob import Btf
from pybpfload.btf.types import Kind
from pybpfload.errors import UnsupportedError, printable
from pybpfload.progs import Program

__all__ = ["function_id"]


def function_id(program: Program, function: str) -> int:
    """The number of a function in the BTF that a program was loaded with.

    Raises:
        UnsupportedError: the program has no BTF, or no such function; names those that it has.
        SyscallError: the kernel does not give its BTF away (it takes CAP_SYS_ADMIN).
    """
    number = int(sys_progs.info(program.fileno()).btf_id)
    data = sys_progs.btf_data(number) if number else b""
    if not data:
        raise UnsupportedError(f"BTF of the program `{printable(program.name)}`")
    btf = Btf(data, name=program.name)
    for number in btf.ids(function):
        if btf.type(number).kind is Kind.FUNC:
            return number
    names = [x.name for x in btf if x.kind is Kind.FUNC]
    raise UnsupportedError(
        f"function `{printable(function)}` in program `{printable(program.name)}`, "
        f"whose object has {', '.join(map(printable, names)) or 'none'}"
    )
