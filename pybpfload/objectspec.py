"""`ObjectSpec`: what an object file says, and what becomes of it on a kernel. Needs no privilege."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from pybpfload.btf.blob import Btf
from pybpfload.errors import RelocationError, printable
from pybpfload.files import read_file
from pybpfload.insn import SLOT
from pybpfload.linker import LinkedProgram, ObjectResolver, link, make_resolver
from pybpfload.reader import fill
from pybpfload.relocations import Relocations
from pybpfload.spec import ObjectParts
from pybpfload.uapi import ProgType

__all__ = ["ObjectSpec", "Relocated", "read_object"]

MAX_SIZE = 256 << 20
MAX_TOTAL = 4_000_000  # slots, relocations and lines of all programs


class Relocated(NamedTuple):
    """The programs of an object, relocated against one kernel's types.

    Attributes:
        programs: by name; references to maps and externs are still open.
    """

    programs: dict[str, LinkedProgram]

    @property
    def relocations(self) -> Relocations:
        """Every CO-RE relocation, program by program, in the order of the code."""
        found = Relocations()
        for program in self.programs.values():
            found.extend(program.relocations)
        return found


class ObjectSpec(ObjectParts):
    """What an object file says; change it freely before it is loaded."""

    @property
    def relocations(self) -> Relocations:
        """Every CO-RE relocation, program by program, as the object has it: each with ``resolution.target`` None.

        `relocate` decides them against a kernel's types.

        Raises:
            RelocationError: a relocation is malformed.
        """
        found = Relocations()
        if self.btf is not None:
            resolver = ObjectResolver(self.btf, (), big_endian=self.big_endian)
            for program in self.programs.values():
                found.extend(resolver.named(self, program))
        return found

    def relocate(self, *targets: Btf) -> Relocated:
        """The code of all programs as it would be loaded on a kernel with these types.

        Args:
            targets: the kernel's BTF, then that of its modules. Any kernel's will do, and none is needed
                for programs without CO-RE relocations.

        Raises:
            RelocationError: a relocation is malformed or ambiguous. Missing fields are no error: they
                are poisoned, and the report says so.
        """
        big_endian = targets[0].big_endian if targets else sys.byteorder == "big"
        resolver = make_resolver(self, self.programs.values(), targets, big_endian=big_endian)
        programs, left = {}, MAX_TOTAL
        for name, program in self.programs.items():
            programs[name] = linked = link(self, program, targets, resolver=resolver)
            left -= len(linked.code) // SLOT + len(linked.relocations) + len(linked.line_info)
            if left < 0:
                # Each program gets its own copy of what it calls.
                raise RelocationError(f"{self.source}: its programs have more than {MAX_TOTAL} slots together")
        return Relocated(programs)


def read_object(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str | None = None,
    prog_types: Mapping[str, ProgType] | None = None,
    strict: bool = True,
) -> ObjectSpec:
    """What an object file says. Needs no privilege and asks no kernel.

    Args:
        source: a path, or the file's contents.
        name: of the object; the file's name up to its first dot when None.
        prog_types: types for programs by their own or their section's name: wins over the SEC() name.
        strict: SEC() names match as in libbpf 1.x; otherwise exact names match as prefixes too.

    Raises:
        ObjectError: the file is malformed; names what is wrong where.
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        data, label = source, name or "object"
    else:
        label = os.fspath(source)
        data = read_file(source, MAX_SIZE)
    label = printable(label)
    spec = ObjectSpec(name if name is not None else os.path.basename(label).split(".")[0], label)
    fill(spec, data, prog_types=prog_types or {}, strict=strict)
    return spec
