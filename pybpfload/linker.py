"""From functions to whole programs: CO-RE relocations, then every function that is called, appended.

The code of a program is its main function followed by all functions that it calls or whose address it
takes, each once. Calls become relative to the slot that follows them. References to maps, data and
externs are handed on with their slots: only the loader knows the file descriptors.

Invariants: CO-RE works on pristine code, before anything else touches it; func_info and line_info
follow their instructions, and are left out as a whole when the main function has none.

Source: bpf_object__relocate(), bpf_object__reloc_code() in libbpf.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pybpfload import insn
from pybpfload.btf.blob import Btf
from pybpfload.btf.ext import CoreRelo
from pybpfload.btf.types import Func
from pybpfload.core import Resolver, patch
from pybpfload.errors import CoreError, ObjectError, RelocationError, printable
from pybpfload.relocations import Relocation, Relocations
from pybpfload.spec import Function, FunctionKey, ObjectParts, ProgramSpec, Ref, RefKind

__all__ = [
    "LinkedProgram",
    "ObjectResolver",
    "core_relocations",
    "link",
    "make_resolver",
    "needs_kernel_btf",
    "reachable",
]

EXCEPTION_TAG = "exception_callback:"
MAX_SLOTS = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS: the kernel takes no longer program


class LinkedProgram(NamedTuple):
    """A program with all its functions.

    Attributes:
        code: in the host's byte order; references in `refs` are still to be filled in.
        refs: maps, data and externs, with slots of the whole program.
        functions: key and first slot, the main function first.
        func_info: (slot, id of a FUNC), line_info: (slot, file, line, number and column).
    """

    name: str
    code: bytearray
    refs: list[Ref]
    functions: list[tuple[FunctionKey, int]]
    func_info: list[tuple[int, int]]
    line_info: list[tuple[int, int, int, int]]
    relocations: Relocations


def needs_kernel_btf(spec: ObjectParts, program: ProgramSpec) -> bool:
    """Whether linking the program takes a target's BTF: it has CO-RE relocations of fields or types."""
    return any(core_relocations(spec, spec.functions[key]) for key in reachable(spec, program))


def core_relocations(spec: ObjectParts, function: Function) -> list[CoreRelo]:
    """The CO-RE relocations of one function, in the order of the file."""
    records = spec.btf_ext.core.get(function.section) if spec.btf_ext else None
    return records.between(function.offset, function.offset + len(function.code)) if records else []


def _calls(spec: ObjectParts, function: Function) -> list[tuple[int, FunctionKey]]:
    """The functions that a function calls or takes the address of, with the slots where it does; looked for once."""
    known = spec.calls.get(function.key)
    if known is None or known[0] is not function:
        known = spec.calls[function.key] = (function, list(_find_calls(spec, function)))
    return known[1]


def _find_calls(spec: ObjectParts, function: Function) -> Iterator[tuple[int, FunctionKey]]:
    count = len(function.code) // insn.SLOT
    # The opcode is an instruction's first byte; that of the second half of a 64-bit load is 0.
    for at, code in enumerate(function.code[:: insn.SLOT]):
        if code not in (insn.CALL, insn.LD_IMM64):
            continue
        op, ref = insn.read(function.code, at), function.refs.get(at)
        if ref is not None:
            if ref.kind not in (RefKind.CALL, RefKind.FUNC_ADDRESS):
                continue
            key = (ref.name, ref.offset)
        elif insn.is_call_to_subprog(op) or insn.is_func_address(op):
            # Within a section, a static function needs no relocation.
            key = (function.section, function.offset + (at + op.imm + 1) * insn.SLOT)
        else:
            continue
        where = f"{spec.source}: function `{printable(function.name)}`: insn {at}: "
        if code == insn.LD_IMM64 and at + 1 >= count:
            raise RelocationError(f"{where}a 64-bit load is cut off")
        if key not in spec.functions:
            raise RelocationError(f"{where}no function begins at {key[1]} of section `{printable(key[0])}`")
        yield at, key


def reachable(spec: ObjectParts, program: ProgramSpec) -> list[FunctionKey]:
    """The main function and all that it can reach, in the order in which they get appended.

    Raises:
        RelocationError: a call lands where no function begins, or there is too much code.
    """
    order: list[FunctionKey] = []
    pending = [program.function]
    callback = _exception_callback(spec, program)
    seen = set()
    total = 0
    while pending:
        key = pending.pop()
        if key in seen:
            continue
        seen.add(key)
        order.append(key)
        function = spec.functions[key]
        total += len(function.code) // insn.SLOT
        if total > MAX_SLOTS:
            raise RelocationError(f"{spec.source}: program `{printable(program.name)}` has over {MAX_SLOTS} slots")
        # Depth first, in the order of the calls, as libbpf appends them; an exception callback comes last.
        pending += [k for _, k in reversed(_calls(spec, function)) if k not in seen]
        if not pending and callback is not None and callback not in seen:
            pending.append(callback)
    return order


def _exception_callback(spec: ObjectParts, program: ProgramSpec) -> FunctionKey | None:
    """The function that a program's declaration tag ``exception_callback:NAME`` names."""
    if spec.btf is None:
        return None
    own = {x for x in spec.btf.ids(program.name) if isinstance(spec.btf.type(x), Func)}
    for type_id, component, text in spec.decl_tags():
        if type_id in own and component == -1 and text.startswith(EXCEPTION_TAG):
            name = text[len(EXCEPTION_TAG) :]
            for key, function in spec.functions.items():
                if function.name == name:
                    return key
            raise RelocationError(
                f"{spec.source}: program `{printable(program.name)}`: no exception callback `{printable(name)}`"
            )
    return None


class ObjectResolver(Resolver):
    """Decides the relocations of one object, and keeps the functions that `link` has patched: programs share them."""

    def __init__(self, local: Btf, targets: Iterable[Btf], *, big_endian: bool) -> None:
        super().__init__(local, targets, big_endian=big_endian)
        self._patched: dict[FunctionKey, tuple[bytearray, list[Relocation]]] = {}
        self._as_named: dict[FunctionKey, list[Relocation]] = {}

    def patched(
        self, spec: ObjectParts, program: ProgramSpec, function: Function
    ) -> tuple[bytearray, list[Relocation]]:
        """The code of a function with its relocations carried out, and these, with slots of the function."""
        known = self._patched.get(function.key)
        if known is None:
            code = bytearray(function.code)
            relocations = [_apply(spec, program, function, code, x, self) for x in core_relocations(spec, function)]
            known = self._patched[function.key] = (code, relocations)
        return known

    def named(self, spec: ObjectParts, program: ProgramSpec) -> Relocations:
        """Every relocation of a program as the object has it: nothing is decided, no target is needed.

        Raises:
            RelocationError: as `link`, for malformed relocations.
        """
        found, start = Relocations(), 0
        for key in reachable(spec, program):
            function = spec.functions[key]
            known = self._as_named.get(key)
            if known is None:
                relos = core_relocations(spec, function)
                known = self._as_named[key] = [_name(spec, program, function, x, self) for x in relos]
            found.add(program.name, start, known)
            start += len(function.code) // insn.SLOT
        return found


def make_resolver(
    spec: ObjectParts, programs: Iterable[ProgramSpec], targets: Iterable[Btf], *, big_endian: bool = False
) -> ObjectResolver | None:
    """What decides the relocations of an object, for `link`; None when it has no types.

    Candidates that lack a member drop out for good, so that it matters what is decided first. As in libbpf, that
    is the order of .BTF.ext, over all functions but those of programs that are not to be loaded.

    Args:
        programs: those that will be linked.
    """
    if spec.btf is None:
        return None
    resolver = ObjectResolver(spec.btf, targets, big_endian=big_endian)
    wanted = {program.function for program in programs}
    others: dict[str, list[tuple[int, int]]] = {}
    for key in {program.function for program in spec.programs.values()} - wanted:
        others.setdefault(key[0], []).append((key[1], key[1] + len(spec.functions[key].code)))
    for section, relos in spec.btf_ext.core.items() if spec.btf_ext else ():
        left_out = sorted(others.get(section, ()))
        starts = [start for start, _ in left_out]
        for relo in relos:
            at = bisect_right(starts, relo.offset) - 1
            if at < 0 or relo.offset >= left_out[at][1]:
                resolver.decide(relo)
    return resolver


def link(
    spec: ObjectParts,
    program: ProgramSpec,
    targets: Iterable[Btf],
    *,
    big_endian: bool = False,
    resolver: ObjectResolver | None = None,
) -> LinkedProgram:
    """The whole code of one program, relocated against the targets' types.

    Args:
        targets: vmlinux, then modules; may be empty when `needs_kernel_btf` says no.
        resolver: from `make_resolver`, when several programs of the object are linked: then `targets` and
            `big_endian` are its own.

    Raises:
        RelocationError: names program, function, instruction and source line.
    """
    order = reachable(spec, program)
    if resolver is None and any(core_relocations(spec, spec.functions[key]) for key in order):
        resolver = make_resolver(spec, (program,), targets, big_endian=big_endian)
    starts: dict[FunctionKey, int] = {}
    code, refs, relocations = bytearray(), [], Relocations()
    for key in order:
        starts[key] = start = len(code) // insn.SLOT
        function = spec.functions[key]
        if resolver is None:
            code += function.code
        else:
            body, relocated = resolver.patched(spec, program, function)
            code += body
            relocations.add(program.name, start, relocated)
        refs += [
            ref._replace(slot=start + ref.slot)
            for ref in function.refs.values()
            if ref.kind not in (RefKind.CALL, RefKind.FUNC_ADDRESS)
        ]
    for key, start in starts.items():
        for slot, target in _calls(spec, spec.functions[key]):
            at = start + slot
            op = insn.read(code, at)
            if op.code == insn.CALL and op.imm == insn.POISON_CORE:
                continue
            src = insn.PSEUDO_CALL if op.code == insn.CALL else insn.PSEUDO_FUNC
            insn.write(code, at, op._replace(src=src, imm=starts[target] - at - 1))
            if src == insn.PSEUDO_FUNC:
                insn.write(code, at + 1, insn.read(code, at + 1)._replace(imm=0))
    functions = [(key, starts[key]) for key in order]
    func_info, line_info = _infos(spec, functions)
    return LinkedProgram(program.name, code, refs, functions, func_info, line_info, relocations)


def _name(
    spec: ObjectParts, program: ProgramSpec, function: Function, relo: CoreRelo, resolver: Resolver
) -> Relocation:
    slot = (relo.offset - function.offset) // insn.SLOT
    line = spec.source_line(function.section, relo.offset)
    try:
        resolution = resolver.name(relo)
    except ObjectError as error:
        raise _located(spec, program, function, slot, line, error) from error
    return Relocation(program.name, function.name, slot, line, resolution, False)


def _apply(
    spec: ObjectParts,
    program: ProgramSpec,
    function: Function,
    body: bytearray,
    relo: CoreRelo,
    resolver: Resolver,
) -> Relocation:
    slot, rest = divmod(relo.offset - function.offset, insn.SLOT)
    line = spec.source_line(function.section, relo.offset)
    try:
        if rest:
            raise CoreError(f"offset {relo.offset} lies within an instruction")
        resolution = resolver.resolve(relo)
        poisoned = patch(body, slot, resolution)
    except ObjectError as error:
        raise _located(spec, program, function, slot, line, error) from error
    return Relocation(program.name, function.name, slot, line, resolution, poisoned)


def _located(
    spec: ObjectParts, program: ProgramSpec, function: Function, slot: int, line: str, error: ObjectError
) -> CoreError:
    where = f"program `{printable(program.name)}`: function `{printable(function.name)}`: insn {slot}"
    return CoreError(f"{spec.source}: {where}{f' ({line})' if line else ''}: {error}")


def _infos(
    spec: ObjectParts, functions: list[tuple[FunctionKey, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int, int]]]:
    """func_info and line_info with slots of the whole program; none when a function has none."""
    if spec.btf_ext is None:
        return [], []
    func_info: list[tuple[int, int]] = []
    line_info: list[tuple[int, int, int, int]] = []
    for (section, offset), start in functions:
        end = offset + len(spec.functions[section, offset].code)
        funcs, lines = spec.btf_ext.funcs.get(section), spec.btf_ext.lines.get(section)
        first = funcs.between(offset, offset + 1) if funcs else []
        if not first:
            return [], []
        func_info.append((start, first[0].type_id))
        line_info += [
            (start + (x.offset - offset) // insn.SLOT, x.file, x.line, x.number_column)
            for x in (lines.between(offset, end) if lines else ())
        ]
    return func_info, line_info
