"""Making maps: from a spec, from a pinned name, from an id."""

from __future__ import annotations

import copy
import errno
import mmap
import os

from pybpfload._sys import attrs, ids, pins
from pybpfload._sys import maps as sys_maps
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.errors import ObjectError, PrivilegeError, SyscallError, UnsupportedError, printable
from pybpfload.features import find, has
from pybpfload.maps.base import Map
from pybpfload.maps.cpus import possible_cpus
from pybpfload.maps.table import TABLE
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType

__all__ = ["as_created", "create_map", "make", "open_map"]

RINGS = (MapType.RINGBUF, MapType.USER_RINGBUF)
NUMBERS = ("key_size", "value_size", "max_entries", "flags")


def make(fd: Fd, spec: MapSpec, btf: Btf | None = None) -> Map:
    """The map behind a descriptor, of the class of its type; owns the descriptor, also when this fails."""
    try:
        return TABLE[MapType(spec.type)].cls(fd, spec, btf)
    except BaseException:
        fd.close()
        raise


def as_created(spec: MapSpec) -> MapSpec:
    """A spec with the sizes and flags that its map will have.

    Raises:
        ObjectError: no kernel could create it.
    """
    where = f"map `{printable(spec.name)}`"
    if not isinstance(spec.type, MapType):
        raise UnsupportedError(f"map type {spec.type} that this library knows")
    if any(spec.extra):
        raise ObjectError(f"{where}: has fields that only iproute2 understands: {spec.extra.hex()}")
    for name in NUMBERS:
        number = getattr(spec, name)
        if not 0 <= number < 1 << 32:
            raise ObjectError(f"{where}: {name} {number} is not within 0..{(1 << 32) - 1}")
    made = copy.copy(spec)
    if spec.type in RINGS:
        # A power of two that is whole pages.
        made.max_entries = max(mmap.PAGESIZE, 1 << max(0, spec.max_entries - 1).bit_length())
    elif spec.type is MapType.PERF_EVENT_ARRAY and not spec.max_entries:
        made.max_entries = possible_cpus()
    elif spec.type is MapType.ARRAY and spec.content is not None and spec.name != ".kconfig" and has("mmapable"):
        # Its variables can then be read and written without a system call.
        made.flags |= MapFlag.MMAPABLE
    return made


def create_map(
    spec: MapSpec,
    *,
    name: str | None = None,
    btf: Btf | None = None,
    btf_fd: int = -1,
    kernel_value: int = 0,
    module_fd: int = -1,
    inner_fd: int = -1,
) -> Map:
    """Create a map. The caller closes it.

    Args:
        spec: what it shall be; it is not changed.
        name: as the kernel shall show it; 15 characters are kept. The spec's when None.
        btf: for typed keys and values. btf_fd: the same BTF in the kernel, or -1.
        kernel_value: the type of the value in the kernel's BTF, for struct_ops; `module_fd`: or in a module's.
        inner_fd: a map like those that a map of maps will hold.

    Returns:
        A `Map` of the class that docs/maps.md names for its type.

    Raises:
        ObjectError: no kernel could create it.
        UnsupportedError: this kernel has no such type.
        SyscallError: the kernel refused.
    """
    made = as_created(spec)
    if name is None:
        name = spec.name
    attr = attrs.MapCreate(map_type=made.type, key_size=made.key_size, value_size=made.value_size)
    attr.max_entries, attr.map_flags, attr.map_extra = made.max_entries, made.flags, made.map_extra
    if made.numa_node is not None:
        attr.numa_node = made.numa_node
    if btf_fd >= 0 and made.value_type and TABLE[MapType(made.type)].btf:
        attr.btf_fd, attr.btf_key_type_id, attr.btf_value_type_id = btf_fd, made.key_type, made.value_type
    if inner_fd >= 0:
        attr.inner_map_fd = inner_fd
    if kernel_value:
        attr.btf_fd, attr.btf_vmlinux_value_type_id = max(btf_fd, 0), kernel_value
        if module_fd >= 0:
            attr.value_type_btf_obj_fd = module_fd
            attr.map_flags |= MapFlag.VTYPE_BTF_OBJ_FD
    return make(_create(attr, name, keep_btf=bool(kernel_value)), made, btf)


def _create(attr: attrs.MapCreate, name: str, *, keep_btf: bool) -> Fd:
    try:
        return sys_maps.create(attr, name)
    except PrivilegeError:
        raise
    except SyscallError as error:
        if not attr.btf_fd or keep_btf:
            _explain(error, MapType(attr.map_type))
            raise
    # Some types take no BTF on older kernels: libbpf, too, tries without.
    attr.btf_fd = attr.btf_key_type_id = attr.btf_value_type_id = 0
    try:
        return sys_maps.create(attr, name)
    except SyscallError as error:
        _explain(error, MapType(attr.map_type))
        raise


def _explain(error: SyscallError, kind: MapType) -> None:
    """Raise an error that says so when the kernel does not have the type at all: it only says EINVAL."""
    row = f"map:{kind.name.lower()}"
    if error.errno == errno.EINVAL and error.call.startswith("BPF_MAP_CREATE") and not has(row):
        raise UnsupportedError(find(row).title, find(row).since) from error


def open_map(which: str | os.PathLike[str] | int, *, flags: int = 0) -> Map:
    """Open a map that exists: by the path that it is pinned at, or by its id. The caller closes it.

    Keys and values are typed by the BTF that the map was created with, if it can be read; else they are bytes.

    Args:
        flags: MapFlag.RDONLY or WRONLY: what this descriptor may do.

    Raises:
        SyscallError: ENOENT when there is none. PrivilegeError: an id takes CAP_SYS_ADMIN.
        ObjectError: what is pinned there is no map.

    Kernel: 4.4 by path, 4.13 by id.
    """
    if isinstance(which, int):
        fd = ids.open_number("map", which, int(flags))
    else:
        fd = pins.open_pinned(os.fspath(which), "map", int(flags))
    try:
        spec, btf = _described(fd, which)
    except BaseException:
        fd.close()
        raise
    return make(fd, spec, btf)


def _described(fd: Fd, which: object) -> tuple[MapSpec, Btf | None]:
    """What the kernel says about a map, as a spec, and its BTF."""
    link = os.readlink(f"/proc/self/fd/{fd.fileno()}")
    if link != "anon_inode:bpf-map":
        raise ObjectError(f"{which}: is no map but {link.rpartition(':')[2]}")
    raw = sys_maps.info(fd.fileno())
    try:
        kind = MapType(raw.type)
    except ValueError:
        raise UnsupportedError(f"map type {raw.type} that this library knows") from None
    spec = MapSpec(
        raw.name.decode("ascii", "replace"), kind,
        key_size=raw.key_size, value_size=raw.value_size, max_entries=raw.max_entries, flags=raw.map_flags,
        map_extra=raw.map_extra, key_type=raw.btf_key_type_id, value_type=raw.btf_value_type_id,
    )  # fmt: skip
    if not raw.btf_id or raw.btf_vmlinux_value_type_id:
        return spec, None
    try:
        data = sys_progs.btf_data(raw.btf_id)
    except SyscallError:
        return spec, None  # not privileged: bytes will do
    btf = Btf(data, name=f"BTF {raw.btf_id}") if data else None
    if spec.value_type and btf is not None and isinstance(btf.type(spec.value_type), t.Datasec):
        spec.value_type = 0  # a section's: one value of many variables
    return spec, btf
