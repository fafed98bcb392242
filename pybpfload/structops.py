"""struct_ops maps in the kernel: the object's struct, translated into the kernel's.

The kernel's struct has the same name; members are found again by theirs. One that the kernel lacks may
be left out as long as it is zero. A program gets the struct and the member that it stands for.

Source: bpf_map__init_kern_struct_ops() in libbpf. Kernel: 5.6, 85d33df357b6; links 6.4, 68b04864ca42.
"""

from __future__ import annotations

from typing import NamedTuple

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf, essential_name
from pybpfload.btf.types import Kind
from pybpfload.errors import ObjectError, UnsupportedError, printable
from pybpfload.spec import MapSpec, ObjectParts
from pybpfload.targets import KernelTypes

__all__ = ["KernelStruct", "find_struct", "member_number"]

WRAPPER = "bpf_struct_ops_"


class KernelStruct(NamedTuple):
    """A struct of functions in the kernel.

    Attributes:
        struct: the type that programs name as what they attach to.
        wrapper: the type of the map's value; the struct begins at `offset` bytes of it.
    """

    btf: Btf
    struct: t.Composite
    wrapper: t.Composite
    offset: int

    def value(self, spec: ObjectParts, definition: MapSpec) -> tuple[bytearray, dict[str, int]]:
        """The map's value without its programs, and where in it each program's descriptor goes.

        Raises:
            ObjectError: a member that is set does not exist in the kernel, or has another size.
        """
        ops = definition.struct_ops
        assert ops is not None
        local, data = spec.types(), bytearray(self.wrapper.size)
        ours = local.skip(ops.type_id)
        assert isinstance(ours, t.Composite)
        theirs = {m.name: m for m in self.struct.members if m.name}
        places: dict[str, int] = {}
        for member in ours.members:
            where = f"{spec.source}: struct_ops `{printable(definition.name)}`: member `{printable(member.name)}`: "
            if member.bitfield_size or member.bit_offset % 8:
                raise ObjectError(where + "bitfields cannot be translated")
            size = local.size_of(member.type)
            if member.bit_offset // 8 + size > len(ops.data):
                raise ObjectError(where + "lies outside its struct")
            raw = ops.data[member.bit_offset // 8 : member.bit_offset // 8 + size]
            target = theirs.get(member.name)
            if target is None:
                if any(raw) or member.name in ops.programs:
                    raise ObjectError(where + "this kernel's struct has no such member")
                continue
            at = self.offset + target.bit_offset // 8
            if member.name in ops.programs:
                places[member.name] = at
                continue
            if target.bitfield_size or self.btf.size_of(target.type) != size:
                raise ObjectError(where + f"has {size} bytes, the kernel's has another size")
            data[at : at + size] = raw
        return data, places


def find_struct(spec: ObjectParts, definition: MapSpec, kernel: KernelTypes) -> KernelStruct:
    """The kernel's struct for a definition.

    Raises:
        UnsupportedError: the kernel has none of that name that could be registered.
    """
    assert definition.struct_ops is not None
    name = essential_name(spec.types().skip(definition.struct_ops.type_id).name)
    for btf in kernel:
        structs = [btf.type(i) for i in btf.ids(name)]
        wrappers = [btf.type(i) for i in btf.ids(WRAPPER + name)]
        struct = next((x for x in structs if x.kind is Kind.STRUCT), None)
        wrapper = next((x for x in wrappers if x.kind is Kind.STRUCT), None)
        if isinstance(struct, t.Composite) and isinstance(wrapper, t.Composite):
            for member in wrapper.members:
                if btf.skip(member.type).id == struct.id:
                    return KernelStruct(btf, struct, wrapper, member.bit_offset // 8)
    raise UnsupportedError(f"struct_ops `{printable(name)}`", "5.6, depending on its subsystem")


def member_number(kernel: KernelStruct, name: str, where: str) -> int:
    """What a program of this member is loaded with as its attach type: the member's number."""
    for number, member in enumerate(kernel.struct.members):
        if member.name == name:
            return number
    raise ObjectError(f"{where}: this kernel's `{kernel.struct.name}` has no member `{printable(name)}`")
