"""Maps: created from their specs, read and written as dictionaries.

Keys and values are what BTF makes of them, and bytes where it says nothing; bytes are always taken as
they are. Values of per-CPU maps are lists with one value for each possible CPU.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, MutableMapping
from typing import Any

from pybpfload._sys import attrs, bpf
from pybpfload._sys import maps as sys_maps
from pybpfload._sys.fd import Fd
from pybpfload.btf.blob import Btf
from pybpfload.btf.codec import Codec
from pybpfload.btf.layout import codec_of
from pybpfload.errors import ObjectError, PrivilegeError, RecordError, SyscallError, printable
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType

__all__ = ["Map", "create_map", "possible_cpus"]

PER_CPU = (MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH, MapType.PERCPU_CGROUP_STORAGE)
RINGS = (MapType.RINGBUF, MapType.USER_RINGBUF)
ARRAYS = (MapType.ARRAY, MapType.PERCPU_ARRAY)
# The kernel refuses BTF for these.
WITHOUT_BTF = (
    MapType.PERF_EVENT_ARRAY, MapType.CGROUP_ARRAY, MapType.STACK_TRACE, MapType.ARRAY_OF_MAPS,
    MapType.HASH_OF_MAPS, MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.CPUMAP, MapType.XSKMAP,
    MapType.SOCKMAP, MapType.SOCKHASH, MapType.QUEUE, MapType.STACK, MapType.ARENA,
)  # fmt: skip


def possible_cpus() -> int:
    """How many values a per-CPU map has: CPUs that could ever come online.

    Source: /sys/devices/system/cpu/possible, such as ``0-3`` or ``0,2-5``.
    """
    with open("/sys/devices/system/cpu/possible") as file:
        last = file.read().strip().replace("-", ",").split(",")[-1]
    return int(last) + 1


class Map(MutableMapping[Any, Any]):
    """A map in the kernel; owns its file descriptor."""

    def __init__(self, fd: Fd, spec: MapSpec, btf: Btf | None) -> None:
        self._fd = fd
        self.name = spec.name
        self.type = spec.type
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self._key = codec_of(btf, spec.key_type) if btf and spec.key_type else None
        self._value = codec_of(btf, spec.value_type) if btf and spec.value_type and not spec.content else None
        self._memory: mmap.mmap | None = None
        self._cpus = possible_cpus() if spec.type in PER_CPU else 0

    def __repr__(self) -> str:
        return f"<Map {printable(self.name)} {self.type.name}{' closed' if self._fd.closed else ''}>"

    def fileno(self) -> int:
        """The file descriptor's number. It stays the map's own."""
        return self._fd.fileno()

    def close(self) -> None:
        """Give the map up; the kernel frees it when nobody else has it. Closing twice does nothing."""
        if self._memory is not None:
            self._memory.close()
        self._fd.close()

    def __enter__(self) -> Map:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def id(self) -> int:
        """The kernel's number for it, as bpftool shows it."""
        return int(sys_maps.info(self.fileno()).id)

    @property
    def memory(self) -> mmap.mmap:
        """The memory of an arena, shared with the programs: `max_entries` pages.

        Kernel: 6.9, 317460317a02.
        """
        if self._memory is None:
            length = self.max_entries * mmap.PAGESIZE
            self._memory = mmap.mmap(self.fileno(), length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return self._memory

    def _pack(self, codec: Codec | None, value: Any, size: int, what: str) -> bytes:
        try:
            raw = codec.pack_value(value) if codec else bytes(value)
        except (RecordError, TypeError, ValueError) as error:
            raise RecordError(f"map `{printable(self.name)}`: {what}: {error}") from error
        if len(raw) != size:
            raise RecordError(f"map `{printable(self.name)}`: {what} of {len(raw)} bytes, expected {size}")
        return raw

    def _unpack(self, codec: Codec | None, raw: bytes) -> Any:
        return codec.unpack_value(raw) if codec else raw

    @property
    def _stride(self) -> int:
        return -(-self.value_size // 8) * 8  # of one CPU's value

    def _read(self, key: bytes) -> Any:
        size = self._stride * self._cpus or self.value_size
        raw = sys_maps.lookup(self.fileno(), key, size)
        if raw is None:
            return None
        if not self._cpus:
            return self._unpack(self._value, raw)
        starts = range(0, size, self._stride)
        return [self._unpack(self._value, raw[i : i + self.value_size]) for i in starts]

    def __getitem__(self, key: Any) -> Any:
        value = self._read(self._pack(self._key, key, self.key_size, "key"))
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def put(self, key: Any, value: Any, *, flags: int = 0) -> None:
        """Write one value.

        Args:
            flags: UpdateFlag: NOEXIST and EXIST make it fail with FileExistsError's and ENOENT's errno.
        """
        raw = self._pack(self._key, key, self.key_size, "key")
        if self._cpus:
            if len(value) != self._cpus:
                raise RecordError(f"map `{printable(self.name)}`: {len(value)} values, expected {self._cpus}")
            data = b"".join(
                self._pack(self._value, v, self.value_size, "value").ljust(self._stride, b"\0") for v in value
            )
        else:
            data = self._pack(self._value, value, self.value_size, "value")
        try:
            sys_maps.update(self.fileno(), raw, data, flags)
        except SyscallError as error:
            raise bpf.error_of(error.errno or 0, f"{error.call} {self.name}") from error

    def __delitem__(self, key: Any) -> None:
        if not sys_maps.delete(self.fileno(), self._pack(self._key, key, self.key_size, "key")):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._read(self._pack(self._key, key, self.key_size, "key")) is not None

    def keys_raw(self) -> Iterator[bytes]:
        """The keys as bytes. Keys that come and go meanwhile may be seen or not; it always ends."""
        key: bytes | None = None
        for _ in range(self.max_entries):
            key = sys_maps.next_key(self.fileno(), key, self.key_size)
            if key is None:
                return
            yield key

    def __iter__(self) -> Iterator[Any]:
        return (self._unpack(self._key, key) for key in self.keys_raw())

    def __len__(self) -> int:
        """How many entries there are: counts them, one system call each."""
        return sum(1 for _ in self.keys_raw())

    def per_cpu_sum(self, key: Any) -> int:
        """The sum over all CPUs of a per-CPU counter."""
        values: list[int] = self[key]
        return sum(values)


def _entries(spec: MapSpec) -> int:
    if spec.type in RINGS:
        # A power of two that is whole pages.
        return max(mmap.PAGESIZE, 1 << max(0, spec.max_entries - 1).bit_length())
    if spec.type is MapType.PERF_EVENT_ARRAY and not spec.max_entries:
        return possible_cpus()
    return spec.max_entries


def create_map(
    spec: MapSpec,
    *,
    name: str,
    btf: Btf | None = None,
    btf_fd: int = -1,
    kernel_value: int = 0,
    module_fd: int = -1,
    inner_fd: int = -1,
) -> Map:
    """Create a map.

    Args:
        name: as the kernel shall show it; 15 characters are kept.
        btf: for typed keys and values. btf_fd: the same BTF in the kernel, or -1.
        kernel_value: the type of the value in the kernel's BTF, for struct_ops; `module_fd`: or in a module's.
        inner_fd: a map like those that a map of maps will hold.

    Raises:
        SyscallError: the kernel refused.
    """
    if any(spec.extra):
        raise ObjectError(
            f"map `{printable(spec.name)}`: has fields that only iproute2 understands: {spec.extra.hex()}"
        )
    attr = attrs.MapCreate(map_type=spec.type, key_size=spec.key_size, value_size=spec.value_size)
    attr.max_entries = spec.max_entries = _entries(spec)
    attr.map_flags, attr.map_extra = spec.flags, spec.map_extra
    if spec.numa_node is not None:
        attr.numa_node = spec.numa_node
    if btf_fd >= 0 and spec.value_type and spec.type not in WITHOUT_BTF:
        attr.btf_fd, attr.btf_key_type_id, attr.btf_value_type_id = btf_fd, spec.key_type, spec.value_type
    if inner_fd >= 0:
        attr.inner_map_fd = inner_fd
    if kernel_value:
        attr.btf_fd, attr.btf_vmlinux_value_type_id = max(btf_fd, 0), kernel_value
        if module_fd >= 0:
            attr.value_type_btf_obj_fd = module_fd
            attr.map_flags |= MapFlag.VTYPE_BTF_OBJ_FD
    try:
        fd = sys_maps.create(attr, name)
    except PrivilegeError:
        raise
    except SyscallError:
        if not attr.btf_fd or kernel_value:
            raise
        # Some map types take no BTF on older kernels: libbpf, too, tries without.
        attr.btf_fd = attr.btf_key_type_id = attr.btf_value_type_id = 0
        fd = sys_maps.create(attr, name)
    return Map(fd, spec, btf)
