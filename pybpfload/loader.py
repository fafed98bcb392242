"""Loading: from an `ObjectSpec` to maps and programs in the kernel.

The order matters: the object's BTF first (maps and programs refer to it), then maps with their
contents, then programs, whose references to maps are now file descriptors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from pybpfload import insn, kconfig
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload._sys.token import using
from pybpfload.btf.blob import Btf
from pybpfload.btf.types import Kind
from pybpfload.buffers import choose_buffers
from pybpfload.errors import (
    ObjectError,
    PrivilegeError,
    RelocationError,
    SyscallError,
    UnsupportedError,
    printable,
)
from pybpfload.externs import Externs
from pybpfload.features import has
from pybpfload.linker import LinkedProgram, ObjectResolver, link, make_resolver, needs_kernel_btf
from pybpfload.links import attach_type_for, function_id
from pybpfload.maps import Map, create_map
from pybpfload.maps.fit import check_fit, pinned_or_new
from pybpfload.object import BpfObject
from pybpfload.objectspec import ObjectSpec
from pybpfload.progs import Program, attach_name, load_program
from pybpfload.sanitise import kernel_view
from pybpfload.sections import Flag, match_section
from pybpfload.spec import MapSpec, ProgramSpec, RefKind
from pybpfload.structops import find_struct, member_number
from pybpfload.targets import KernelTypes, kernel_types
from pybpfload.uapi import MapType, ProgFlag, ProgType

__all__ = ["load"]


def load(
    spec: ObjectSpec,
    *,
    maps: Mapping[str, Map] | None = None,
    kernel_btf: Btf | None = None,
    targets: Mapping[str, Program] | None = None,
    token: str | None = None,
    pin_dir: str | os.PathLike[str] | None = None,
) -> BpfObject:
    """Create the maps of an object and load its programs.

    Args:
        maps: existing maps to be used in place of those of the same names; they stay the caller's.
        kernel_btf: to relocate against; the running kernel's when None, read only if it is needed.
        targets: for programs of this object that attach to functions of other programs (freplace, fentry,
            fexit): the program whose function SEC() names.
        token: the path of a bpffs through which BPF was delegated to this process, "" for none; what
            the environment variable LIBBPF_BPF_TOKEN_PATH says when None.
        pin_dir: a directory on a bpffs. Maps that ask for it (LIBBPF_PIN_BY_NAME) are taken from there if they
            are pinned there already, and else are pinned there. When None, nothing is pinned.

    Raises:
        ObjectError: the object is at fault.
        UnsupportedError: the kernel lacks something.
        SyscallError: the kernel refused a map, BTF or (VerifierError) a program.
    """
    if spec.big_endian != (sys.byteorder == "big"):
        raise ObjectError(f"{spec.source}: is {'big' if spec.big_endian else 'little'}-endian, this host is not")
    obj = BpfObject(spec)
    try:
        with using(token):
            _Loader(obj, maps or {}, kernel_btf, targets or {}, pin_dir).run()
    except BaseException:
        obj.close()
        raise
    return obj


class _Loader:
    def __init__(
        self,
        obj: BpfObject,
        shared: Mapping[str, Map],
        kernel: Btf | None,
        others: Mapping[str, Program],
        pin_dir: str | os.PathLike[str] | None,
    ) -> None:
        self._obj, self._spec, self._stack = obj, obj.spec, obj._stack
        self._shared = shared
        self._others = others
        self._pin_dir = pin_dir
        self._kept: set[str] = set()  # maps that others made: they keep their contents
        # Other types than the running kernel's serve CO-RE alone: ids of types go to the kernel, which has its own.
        self._core = kernel_types(kernel) if kernel else None
        self._targets: KernelTypes | None = None
        self._resolver: ObjectResolver | None = None
        self._externs: Externs | None = None
        self._values: dict[str, tuple[bytearray, dict[str, int]]] = {}  # of struct_ops maps
        self._members: dict[str, tuple[int, int]] = {}  # struct_ops program -> struct and member
        self._btf_fd = -1
        self._func_info = True  # whether the BTF in the kernel still has its functions

    def run(self) -> None:
        with ExitStack() as new_pins:  # taken away again if loading fails
            self._load(new_pins)
            new_pins.pop_all()

    def _load(self, new_pins: ExitStack) -> None:
        spec, obj = self._spec, self._obj
        unknown = sorted(set(self._shared) - set(spec.maps))
        if unknown:
            raise ObjectError(f"{spec.source}: no map `{printable(unknown[0])}` to be replaced")
        choose_buffers(spec, self._shared)
        if ".kconfig" in spec.maps:
            self._resolve().fill_kconfig()
        btf = self._load_btf()
        if btf is not None:
            self._stack.callback(btf.close)
            self._btf_fd = btf.fileno()
        for map_spec in spec.maps.values():
            if map_spec.autocreate:
                made = self._struct_ops(map_spec) if map_spec.struct_ops else self._map(map_spec, new_pins)
                obj.maps[map_spec.name] = made
        for program in spec.programs.values():
            if program.autoload and (program.type is not ProgType.STRUCT_OPS or program.name in self._members):
                obj.programs[program.name] = self._program(program)
        for map_spec in spec.maps.values():
            if map_spec.struct_ops and map_spec.autocreate:
                self._enter_programs(map_spec)
            self._enter_values(map_spec)

    def _load_btf(self) -> Fd | None:
        """The object's BTF for the kernel; None when there is none, or the kernel refuses it."""
        if self._spec.btf is None:
            return None
        try:
            return sys_progs.load_btf(kernel_view(self._spec), self._spec.name)
        except PrivilegeError:
            return None  # what comes next will say it better
        except SyscallError:
            pass
        # An older kernel: find out what it lacks, and leave that out.
        if not has("btf"):
            return None
        self._func_info = has("btf_func")
        try:
            return sys_progs.load_btf(kernel_view(self._spec, has), self._spec.name)
        except SyscallError:
            # It only serves names and source lines: what needs it will say so.
            return None

    def _map(self, spec: MapSpec, new_pins: ExitStack) -> Map:
        shared = self._shared.get(spec.name)
        if shared is not None:
            check_fit(spec, shared, self._spec.source)
            self._kept.add(spec.name)
            return shared
        if self._pin_dir is None or not spec.pin_by_name:
            found, new = self._new_map(spec), True
        else:
            path = os.path.join(self._pin_dir, spec.name)
            found, new = pinned_or_new(spec, path, lambda: self._new_map(spec), self._spec.btf)
            if new:
                new_pins.callback(found.unpin, path)
        self._stack.callback(found.close)
        if not new:
            self._kept.add(spec.name)
        elif spec.type is MapType.ARENA:
            # Its address has to be known before a program that uses it is verified.
            found.memory[: len(spec.content or b"")] = bytes(spec.content or b"")
        elif spec.content is not None:
            found[0] = bytes(spec.content)
            if spec.frozen:
                found.freeze()
        return found

    def _new_map(self, spec: MapSpec) -> Map:
        is_data = spec.content is not None and spec.type is MapType.ARRAY
        name = _data_map_name(self._spec.name, spec.name) if is_data else spec.name
        inner_fd = -1
        with ExitStack() as template:
            if spec.inner is not None:
                inner = create_map(spec.inner, name=spec.inner.name, btf=self._spec.btf, btf_fd=self._btf_fd)
                inner_fd = template.enter_context(inner).fileno()
            return create_map(spec, name=name, btf=self._spec.btf, btf_fd=self._btf_fd, inner_fd=inner_fd)

    def _struct_ops(self, spec: MapSpec) -> Map:
        """A map whose value has the type that the kernel gives it; its programs get to know their members."""
        assert spec.struct_ops is not None
        found = find_struct(self._spec, spec, self._kernel())
        value, places = found.value(self._spec, spec)
        self._values[spec.name] = (value, places)
        for member, program in spec.struct_ops.programs.items():
            number = member_number(found, member, f"{self._spec.source}: struct_ops `{printable(spec.name)}`")
            self._members[program] = (found.struct.id, number)
        in_module = found.btf is not self._kernel().vmlinux
        spec.value_size = found.wrapper.size
        created = create_map(
            spec,
            name=spec.name,
            btf_fd=self._btf_fd,
            kernel_value=found.wrapper.id,
            module_fd=self._resolve().module_fd(found.btf) if in_module else -1,
        )
        self._stack.callback(created.close)
        return created

    def _enter_values(self, spec: MapSpec) -> None:
        """The maps or programs that the object puts into a map. Programs that were not loaded are left out."""
        if spec.name in self._kept or not spec.autocreate:
            return
        for index, name in spec.values.items():
            if index >= spec.max_entries:
                raise ObjectError(
                    f"{self._spec.source}: map `{printable(spec.name)}`: values[{index}] is beyond its "
                    f"{spec.max_entries} entries"
                )
            value = self._obj.maps.get(name) if spec.inner else self._obj.programs.get(name)
            if value is not None:
                self._obj.maps[spec.name][index.to_bytes(4, sys.byteorder)] = value

    def _enter_programs(self, spec: MapSpec) -> None:
        """Write the value with its programs. Without a link this registers it; closing does not undo that."""
        assert spec.struct_ops is not None
        value, places = self._values[spec.name]
        for member, at in places.items():
            program = self._obj.programs.get(spec.struct_ops.programs[member])
            if program is not None:
                value[at : at + 8] = program.fileno().to_bytes(8, sys.byteorder)
        self._obj.struct_ops[spec.name] = bytes(value)

    def _kernel(self) -> KernelTypes:
        if self._targets is None:
            self._targets = kernel_types()
        return self._targets

    def _resolve(self) -> Externs:
        if self._externs is None:
            self._externs = Externs(self._spec, self._kernel(), self._stack)
        return self._externs

    def _program(self, spec: ProgramSpec) -> Program:
        if spec.type is ProgType.UNSPEC:
            match_section(spec.section)  # says what is wrong
        if self._resolver is None and needs_kernel_btf(self._spec, spec):
            loaded = [program for program in self._spec.programs.values() if program.autoload]
            self._resolver = make_resolver(self._spec, loaded, self._core or self._kernel())
        linked = link(self._spec, spec, (), resolver=self._resolver)
        self._fill(linked)
        self._obj.relocations.extend(linked.relocations)
        flags = ProgFlag.SLEEPABLE if spec.flags & Flag.SLEEPABLE else 0
        flags |= ProgFlag.XDP_HAS_FRAGS if spec.flags & Flag.XDP_FRAGS else 0
        by_btf = spec.flags & Flag.ATTACH_BTF and spec.target
        attach_id, module_fd = self._attach_target(spec) if by_btf else (0, 0)
        attach_type = attach_type_for(spec, tail_calls=self._tail_calls(linked))
        if spec.name in self._members:
            attach_id, attach_type = self._members[spec.name]
        program = load_program(
            spec,
            linked,
            license=self._spec.license,
            btf=self._spec.btf,
            btf_fd=self._btf_fd if self._func_info else -1,
            attach_btf_id=attach_id,
            attach_module_fd=module_fd,
            fd_array=self._externs.fd_array if self._externs else (),
            attach_type=attach_type,
            flags=int(flags),
            kernel_version=self._spec.kernel_version or kconfig.kernel_version(),  # 4.x compares it, for kprobes
        )
        self._stack.callback(program.close)
        program.maps = self._obj.maps
        return program

    def _tail_calls(self, linked: LinkedProgram) -> bool:
        """Whether a program refers to a program array, or lies in one."""
        arrays = {name for name, spec in self._spec.maps.items() if spec.type is MapType.PROG_ARRAY}
        used = {ref.name for ref in linked.refs if ref.kind is RefKind.MAP}
        return bool(arrays & used) or any(linked.name in self._spec.maps[name].values.values() for name in arrays)

    def _attach_target(self, spec: ProgramSpec) -> tuple[int, int]:
        """The type that a program attaches to, and the descriptor of its module's BTF or of a program, or 0."""
        other = self._others.get(spec.name)
        if other is not None:
            return function_id(other, spec.target), other.fileno()
        if spec.type is ProgType.EXT:
            raise ObjectError(f"program `{printable(spec.name)}`: load() has to know whose function: targets=")
        name = attach_name(spec) or ""
        kind = Kind.TYPEDEF if name.startswith("btf_trace_") else Kind.FUNC
        for btf in self._kernel():
            for type_id in btf.ids(name):
                if btf.type(type_id).kind is kind:
                    own = btf is self._kernel().vmlinux
                    return type_id, 0 if own else self._resolve().module_fd(btf)
        raise UnsupportedError(f"target for SEC({printable(spec.section)!r})")

    def _fill(self, linked: LinkedProgram) -> None:
        """File descriptors and addresses into the instructions that refer to maps and externs."""
        code = linked.code
        for ref in linked.refs:
            if ref.kind is RefKind.UNDEFINED:
                # A load of such a symbol is a constant that nobody has set: it stays what the instruction holds.
                if insn.read(code, ref.slot).code == insn.CALL:
                    raise RelocationError(
                        f"{self._spec.source}: program `{printable(linked.name)}` calls `{printable(ref.name)}`, "
                        "which is not defined"
                    )
                continue
            if ref.kind is RefKind.KFUNC:
                self._resolve().fill_kfunc(code, ref)
                continue
            if ref.kind is RefKind.KSYM:
                self._resolve().fill_symbol(code, ref)
                continue
            low, high = insn.read(code, ref.slot), insn.read(code, ref.slot + 1)
            name, offset, src = ref.name, ref.offset, insn.PSEUDO_MAP_VALUE
            if ref.kind is RefKind.KCONFIG:
                name, offset = ".kconfig", self._spec.variables.spec(ref.name).offset
            elif ref.kind is RefKind.MAP:
                src = insn.PSEUDO_MAP_FD
            if name not in self._obj.maps:
                # Code that uses a map which was not to be created must be dead: as libbpf, a call of nothing.
                poison = insn.Insn(insn.CALL, 0, 0, 0, insn.POISON_MAP + list(self._spec.maps).index(name))
                insn.write(code, ref.slot, poison)
                insn.write(code, ref.slot + 1, poison)
                continue
            insn.write(code, ref.slot, low._replace(src=src, imm=self._obj.maps[name].fileno()))
            insn.write(code, ref.slot + 1, high._replace(imm=offset))


def _data_map_name(object_name: str, section: str) -> str:
    """As libbpf names it: up to eight characters of the object's name before a classic section's."""
    if "." in section[1:]:
        return section
    return object_name[: 15 - max(7, len(section))] + section
