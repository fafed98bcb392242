"""Loading: from an `ObjectSpec` to maps and programs in the kernel.

The order matters: the object's BTF first (maps and programs refer to it), then maps with their
contents, then programs, whose references to maps are now file descriptors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from pybpfload import insn
from pybpfload._sys import bpf
from pybpfload._sys.fd import Fd
from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.encode import encode, placeholder
from pybpfload.btf.kernel import kernel_btf as running_kernel_btf
from pybpfload.btf.types import Kind
from pybpfload.errors import BtfError, ObjectError, RelocationError, SyscallError, UnsupportedError, printable
from pybpfload.linker import LinkedProgram, Relocation, link, needs_kernel_btf
from pybpfload.links import LinkSet, attach
from pybpfload.maps import Map, create_map
from pybpfload.objectspec import ObjectSpec
from pybpfload.progs import Program, attach_name, load_program
from pybpfload.ringbuf import RingReader
from pybpfload.sections import Flag, match_section
from pybpfload.spec import MapSpec, ProgramSpec, RefKind
from pybpfload.uapi import ProgFlag, ProgType

__all__ = ["BpfObject", "load"]


class LiveVariables(Mapping[str, object]):
    """The global variables of a loaded object, as they are right now: each read asks the kernel."""

    def __init__(self, spec: ObjectSpec, maps: Mapping[str, Map]) -> None:
        self._spec = spec
        self._maps = maps

    def __getitem__(self, name: str) -> object:
        var = self._spec.variables.spec(name)
        data: bytes = self._maps[var.map.name][bytes(4)]
        return var.codec.unpack_value(data[var.offset : var.offset + var.size])

    def __iter__(self) -> Iterator[str]:
        return iter(self._spec.variables)

    def __len__(self) -> int:
        return len(self._spec.variables)


class BpfObject:
    """Maps and programs of one object in the kernel; closing it closes them all.

    Attributes:
        maps, programs: by name; programs whose spec says autoload = False are missing.
        variables: global variables, read from the kernel.
        relocations: how each CO-RE relocation was decided.
    """

    def __init__(self, spec: ObjectSpec) -> None:
        self.spec = spec
        self.maps: dict[str, Map] = {}
        self.programs: dict[str, Program] = {}
        self.variables = LiveVariables(spec, self.maps)
        self.relocations: list[Relocation] = []
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"<BpfObject {printable(self.spec.name)}: {len(self.programs)} programs, {len(self.maps)} maps>"

    def attach_all(self) -> LinkSet:
        """Attach every program to what its SEC() name says; all or none.

        Raises:
            AttachError: one could not be.
        """
        links = LinkSet()
        try:
            for program in self.programs.values():
                links.add(attach(program))
        except BaseException:
            links.close()
            raise
        return links

    def ring(self, name: str) -> RingReader[object]:
        """A reader of a ring buffer, with values built from the type that RECORD_TYPE names; else bytes."""
        layout = self.spec.records.get(name)
        decode = layout.decode if layout else _copy
        return RingReader(self.maps[name], decode)

    def close(self) -> None:
        """Close all programs and maps. Links are the caller's. Closing twice does nothing."""
        self._stack.close()

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copy(buffer: memoryview, offset: int, size: int) -> bytes:
    return bytes(buffer[offset : offset + size])


def load(spec: ObjectSpec, *, maps: Mapping[str, Map] | None = None, kernel_btf: Btf | None = None) -> BpfObject:
    """Create the maps of an object and load its programs.

    Args:
        maps: existing maps to be used in place of those of the same names; they stay the caller's.
        kernel_btf: to relocate against; the running kernel's when None, read only if it is needed.

    Raises:
        ObjectError: the object is at fault.
        UnsupportedError: the kernel lacks something.
        SyscallError: the kernel refused a map, BTF or (VerifierError) a program.
    """
    if spec.big_endian != (sys.byteorder == "big"):
        raise ObjectError(f"{spec.source}: is {'big' if spec.big_endian else 'little'}-endian, this host is not")
    obj = BpfObject(spec)
    try:
        _Loader(obj, maps or {}, kernel_btf).run()
    except BaseException:
        obj.close()
        raise
    return obj


class _Loader:
    def __init__(self, obj: BpfObject, shared: Mapping[str, Map], kernel: Btf | None) -> None:
        self._obj, self._spec, self._stack = obj, obj.spec, obj._stack
        self._shared = shared
        self._kernel_btf = kernel
        self._btf_fd = -1

    def run(self) -> None:
        spec, obj = self._spec, self._obj
        unknown = sorted(set(self._shared) - set(spec.maps))
        if unknown:
            raise ObjectError(f"{spec.source}: no map `{printable(unknown[0])}` to be replaced")
        btf = self._load_btf()
        if btf is not None:
            self._stack.callback(btf.close)
            self._btf_fd = btf.fileno()
        for map_spec in spec.maps.values():
            obj.maps[map_spec.name] = self._map(map_spec)
        for program in spec.programs.values():
            if program.autoload:
                obj.programs[program.name] = self._program(program)

    def _load_btf(self) -> Fd | None:
        """The object's BTF for the kernel; None when there is none, or the kernel refuses it."""
        if self._spec.btf is None:
            return None
        try:
            return bpf.btf_load(kernel_view(self._spec), self._spec.name)
        except SyscallError:
            # It only serves names and source lines: what needs it will say so.
            return None

    def _map(self, spec: MapSpec) -> Map:
        shared = self._shared.get(spec.name)
        if shared is not None:
            for what in ("type", "key_size", "value_size"):
                ours, theirs = getattr(spec, what), getattr(shared, what)
                if ours != theirs:
                    raise ObjectError(
                        f"{self._spec.source}: map `{printable(spec.name)}`: {what} is {ours!r}, "
                        f"the one to be used instead has {theirs!r}"
                    )
            return shared
        name = f"{self._spec.name[:8]}{spec.name}" if spec.content is not None else spec.name
        created = create_map(spec, name=name, btf=self._spec.btf, btf_fd=self._btf_fd)
        self._stack.callback(created.close)
        if spec.content is not None:
            bpf.map_update(created.fileno(), bytes(4), bytes(spec.content))
            if spec.frozen:
                bpf.map_freeze(created.fileno(), spec.name)
        return created

    def _kernel(self) -> Btf:
        if self._kernel_btf is None:
            self._kernel_btf = running_kernel_btf()
        return self._kernel_btf

    def _program(self, spec: ProgramSpec) -> Program:
        if spec.type is ProgType.UNSPEC:
            match_section(spec.section)  # says what is wrong
        targets: Sequence[Btf] = (self._kernel(),) if needs_kernel_btf(self._spec, spec) else ()
        linked = link(self._spec, spec, targets)
        self._fill(linked)
        self._obj.relocations += linked.relocations
        flags = ProgFlag.SLEEPABLE if spec.flags & Flag.SLEEPABLE else 0
        flags |= ProgFlag.XDP_HAS_FRAGS if spec.flags & Flag.XDP_FRAGS else 0
        program = load_program(
            spec,
            linked,
            license=self._spec.license,
            btf_fd=self._btf_fd,
            attach_btf_id=self._attach_id(spec) if spec.flags & Flag.ATTACH_BTF and spec.target else 0,
            attach_type=spec.attach_type,
            flags=int(flags),
            kernel_version=self._spec.kernel_version,
        )
        self._stack.callback(program.close)
        return program

    def _attach_id(self, spec: ProgramSpec) -> int:
        name = attach_name(spec) or ""
        kind = Kind.TYPEDEF if name.startswith("btf_trace_") else Kind.FUNC
        try:
            return self._kernel().find(name, kind).id
        except BtfError as error:
            raise UnsupportedError(f"target for SEC({printable(spec.section)!r})") from error

    def _fill(self, linked: LinkedProgram) -> None:
        """File descriptors into the instructions that refer to maps."""
        for ref in linked.refs:
            op, high = insn.read(linked.code, ref.slot), insn.read(linked.code, ref.slot + 1)
            if ref.kind not in (RefKind.MAP, RefKind.DATA):
                raise RelocationError(
                    f"{self._spec.source}: program `{printable(linked.name)}`: insn {ref.slot}: "
                    f"{ref.kind.value} `{printable(ref.name)}` cannot be resolved yet"
                )
            fd = self._obj.maps[ref.name].fileno()
            src = insn.PSEUDO_MAP_FD if ref.kind is RefKind.MAP else insn.PSEUDO_MAP_VALUE
            insn.write(linked.code, ref.slot, op._replace(src=src, imm=fd))
            insn.write(linked.code, ref.slot + 1, high._replace(imm=ref.offset))


def kernel_view(spec: ObjectSpec) -> bytes:
    """The object's BTF as the kernel accepts it: sections that are only for us become placeholders.

    Strings keep their offsets, because line info refers to them.
    """
    btf = spec.types()
    keep = {".maps", *spec.maps}
    types = [
        placeholder(found.id) if isinstance(found, t.Datasec) and found.name not in keep else found for found in btf
    ]
    return encode(types, strings=btf.string_section)
