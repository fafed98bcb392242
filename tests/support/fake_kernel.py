"""A pretended kernel behind the library's door: takes everything, and notes what it was asked.

No program is verified and no privilege is needed, so that what goes to a kernel can be compared for any
object and any kernel's types.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from pybpfload import insn
from pybpfload._sys import attrs
from pybpfload._sys.syscall import numbers
from pybpfload.uapi import Cmd, MapType

MAP_SPACE = 1 << 32  # sparse: what a mapping may touch
HOLDERS = (MapType.PROG_ARRAY, MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)


class Made(NamedTuple):
    """Something that the pretended kernel was asked to make.

    Attributes:
        attr: the fields of the command.
        data: of BTF its bytes; of a program what its attr points to, by field name.
        inner: of a map-in-map, the map that it takes as a pattern.
        module: of a kernel's BTF, whose it is.
        fds: of a program, what was then behind the descriptors: numbers come again.
    """

    command: Cmd
    attr: dict[str, Any]
    data: dict[str, bytes]
    inner: Made | None = None
    module: str = ""
    fds: dict[int, Made] = {}  # noqa: RUF012


class FakeKernel:
    """Replaces `syscall.door`.

    Args:
        modules: the BTF of modules that the kernel has, by name.

    Attributes:
        made: everything, in the order in which it was made.
        updates: (map, key, value, what a value that is a descriptor refers to).
    """

    def __init__(self, modules: Mapping[str, bytes]) -> None:
        self.made: list[Made] = []
        self.updates: list[tuple[Made, bytes, bytes, Made | None]] = []
        self._modules = list(modules.items())
        self._open: dict[int, Made] = {}

    def __call__(self, number: int, *args: Any) -> int:
        if number != numbers().bpf:
            return -errno.ENOSYS
        command, attr = Cmd(args[0]), args[1]._obj
        method = getattr(self, command.name.lower(), None)
        return method(attr) if method else -errno.EINVAL

    def all(self, command: Cmd) -> list[Made]:
        """What was made with a command."""
        return [made for made in self.made if made.command is command]

    def map_create(self, attr: attrs.MapCreate) -> int:
        return self._add(Cmd.MAP_CREATE, attr, inner=self._open.get(attr.inner_map_fd))

    def prog_load(self, attr: attrs.ProgLoad) -> int:
        return self._add(
            Cmd.PROG_LOAD,
            attr,
            insns=ctypes.string_at(attr.insns, attr.insn_cnt * 8),
            license=ctypes.string_at(attr.license),
            func_info=_bytes(attr.func_info, attr.func_info_cnt * attr.func_info_rec_size),
            line_info=_bytes(attr.line_info, attr.line_info_cnt * attr.line_info_rec_size),
            fd_array=_bytes(attr.fd_array, 4 * _fd_array_length(attr)),
        )

    def btf_load(self, attr: attrs.BtfLoad) -> int:
        return self._add(Cmd.BTF_LOAD, attr, btf=ctypes.string_at(attr.btf, attr.btf_size))

    def map_update_elem(self, attr: attrs.MapElem) -> int:
        target = self._open[attr.map_fd]
        key = ctypes.string_at(attr.key, target.attr["key_size"])
        value = ctypes.string_at(attr.value, target.attr["value_size"])
        refers = self._open[int.from_bytes(value, "little")] if target.attr["map_type"] in HOLDERS else None
        self.updates.append((target, key, value, refers))
        return 0

    def map_freeze(self, attr: attrs.MapElem) -> int:
        return 0

    def prog_bind_map(self, attr: Any) -> int:
        return 0

    def link_create(self, attr: Any) -> int:
        return -errno.EBADF  # what kernels with links on perf events say to a wrong target

    def btf_get_next_id(self, attr: attrs.Id) -> int:
        if attr.id >= len(self._modules):
            return -errno.ENOENT
        attr.next_id = attr.id + 1
        return 0

    def btf_get_fd_by_id(self, attr: attrs.Id) -> int:
        return self._add(Cmd.BTF_GET_FD_BY_ID, attr, module=self._modules[attr.id - 1][0])

    def obj_get_info_by_fd(self, attr: attrs.ObjInfo) -> int:
        made = self._open[attr.bpf_fd]
        if made.command is Cmd.BTF_GET_FD_BY_ID:
            info = attrs.BtfInfo.from_address(attr.info)
            name = made.module.encode() + b"\0"
            if info.name:
                ctypes.memmove(info.name, name, min(len(name), info.name_len))
            info.name_len, info.kernel_btf, info.id = len(name), 1, made.attr["id"]
        return 0

    def _add(
        self, command: Cmd, attr: ctypes.Structure, *, inner: Made | None = None, module: str = "", **data: bytes
    ) -> int:
        fields = {name: getattr(attr, name) for name, *_ in attr._fields_}
        fd = os.memfd_create("pretended")  # a real one, for whoever closes or maps it
        os.ftruncate(fd, MAP_SPACE)
        made = Made(command, fields, data, inner, module, dict(self._open) if command is Cmd.PROG_LOAD else {})
        self.made.append(made)
        self._open[fd] = made
        return fd


def _bytes(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size) if address and size else b""


def _fd_array_length(attr: attrs.ProgLoad) -> int:
    """The kernel does not get to know it either: calls of kfuncs name the descriptors."""
    code = ctypes.string_at(attr.insns, attr.insn_cnt * 8)
    used = [insn.read(code, slot) for slot in range(attr.insn_cnt)]
    return max([1 + op.off for op in used if op.code == insn.CALL and op.src == insn.PSEUDO_KFUNC_CALL], default=0)
