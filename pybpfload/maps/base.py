"""What all maps have: a descriptor, a name, sizes, codecs; and the calls on one element.

The classes that users meet build on this. Keys and values are what BTF makes of them, and bytes where
it says nothing; bytes of the right size are always taken as they are.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pybpfload._sys import maps as sys_maps
from pybpfload._sys import pins
from pybpfload._sys.fd import Fd
from pybpfload.btf.blob import Btf
from pybpfload.btf.codec import Codec
from pybpfload.btf.layout import codec_of
from pybpfload.errors import RecordError, printable
from pybpfload.features import has
from pybpfload.maps.cpus import PerCpu, possible_cpus, stride
from pybpfload.maps.decode import values_of
from pybpfload.spec import MapSpec
from pybpfload.uapi import Cmd, MapFlag, MapType

__all__ = ["Map", "MapInfo"]

NUMBER = Codec("uint", 4, "I", "=")
# The kernel itself says that their keys are numbers.
NUMBERED = (MapType.STACK_TRACE, MapType.DEVMAP_HASH)
PER_CPU = (MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH, MapType.PERCPU_CGROUP_STORAGE)


class MapInfo(NamedTuple):
    """What the kernel says about a map.

    Attributes:
        name: at most 15 characters.
        flags: MapFlag bits; the kernel sets some by itself.
        btf_id: of the BTF that key_type and value_type are in, or 0.
        frozen: whether user space may still write.
        memory: in bytes, as far as the kernel counts it.
    """

    id: int
    type: MapType
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: MapFlag
    map_extra: int
    btf_id: int
    key_type: int
    value_type: int
    frozen: bool
    memory: int


class Map:
    """A map in the kernel; owns its file descriptor.

    Each type of map has a class of its own that says what can be done with it; `create_map()`, `open_map()`
    and `load()` pick it. See docs/maps.md.

    Attributes:
        name: as the object calls it.
        key_size, value_size: in bytes; per-CPU maps have one value of this size for each possible CPU.
        flags: MapFlag bits that it was created with.
    """

    _by_codec = True  # a value is what its codec makes of it

    def __init__(self, fd: Fd, spec: MapSpec, btf: Btf | None = None) -> None:
        self._fd = fd
        self.name = spec.name
        self.type = MapType(spec.type)
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.flags = MapFlag(spec.flags)
        self.map_extra = spec.map_extra
        self._cpus = possible_cpus() if spec.type in PER_CPU else 0
        # What one lookup writes.
        self._read_size = stride(spec.value_size) * self._cpus or spec.value_size
        self._memory: mmap.mmap | None = None
        self._use_types(spec, btf)

    def _use_types(self, spec: MapSpec, btf: Btf | None) -> None:
        self._btf, self._types = btf, (spec.key_type, spec.value_type if spec.content is None else 0)
        for known in ("_key", "_value"):
            self.__dict__.pop(known, None)

    # Nobody may ever ask: the value of a scratch map can be as large as all records together.
    @cached_property
    def _key(self) -> Codec | None:
        number = NUMBER if self.type in NUMBERED else None
        return codec_of(self._btf, self._types[0]) if self._btf and self._types[0] else number

    @cached_property
    def _value(self) -> Codec | None:
        return codec_of(self._btf, self._types[1]) if self._btf and self._types[1] else None

    def __repr__(self) -> str:
        closed = " closed" if self._fd.closed else ""
        return f"<{type(self).__name__} {printable(self.name)} {self.type.name}{closed}>"

    # A map is itself, whatever it holds.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __getattr__(self, name: str) -> Any:
        # Only a type checker and those who ask for too much come here. What a map can do is known when it
        # runs: for the checker, every map can do everything.
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"{self._label} is a {type(self).__name__} ({self.type.name}), which has no `{name}`")

    def __getitem__(self, key: Any) -> Any:
        raise self._has_no_elements()

    def __setitem__(self, key: Any, value: Any) -> None:
        raise self._has_no_elements()

    def __delitem__(self, key: Any) -> None:
        raise self._has_no_elements()

    def _has_no_elements(self) -> TypeError:
        return TypeError(f"{self._label} is a {self.type.name}, which has no elements")

    if TYPE_CHECKING:
        # As above: that there is none of these is found out at run time.
        def __iter__(self) -> Iterator[Any]: ...
        def __len__(self) -> int: ...
        def __contains__(self, item: object) -> bool: ...

    @property
    def _label(self) -> str:
        return f"map `{printable(self.name)}`"

    # -- the descriptor

    def fileno(self) -> int:
        """The file descriptor's number. It stays the map's own."""
        return self._fd.fileno()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._fd.closed

    def close(self) -> None:
        """Give the map up; the kernel frees it when nobody else has it. Closing twice does nothing."""
        memory, self._memory = self._memory, None
        if memory is not None:
            # Somebody still looks at it: then it goes when they let go.
            with suppress(BufferError):
                memory.close()
        self._fd.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the map as a whole

    @property
    def id(self) -> int:
        """The kernel's number for it, as bpftool shows it."""
        return int(sys_maps.info(self.fileno()).id)

    def info(self) -> MapInfo:
        """What the kernel says about it, now.

        Kernel: 4.13, 1e2709769086.
        """
        raw = sys_maps.info(self.fileno())
        with open(f"/proc/self/fdinfo/{self.fileno()}") as file:
            more = dict(line.split(":", 1) for line in file if ":" in line)
        return MapInfo(
            raw.id, MapType(raw.type), raw.name.decode("ascii", "replace"), raw.key_size, raw.value_size,
            raw.max_entries, MapFlag(raw.map_flags), raw.map_extra, raw.btf_id, raw.btf_key_type_id,
            raw.btf_value_type_id, bool(int(more.get("frozen", 0))), int(more.get("memlock", 0)),
        )  # fmt: skip

    def freeze(self) -> None:
        """No more writes from user space, for ever. Programs may go on.

        Raises:
            SyscallError: EBUSY when its memory is mapped for writing, or it is frozen.

        Kernel: 5.2, 87df15de441b.
        """
        sys_maps.freeze(self.fileno(), self.name)

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give it a name on a bpffs, which keeps it alive when all descriptors are closed.

        Raises:
            SyscallError: EEXIST when there is something; EPERM when this is no bpffs.
        """
        pins.pin(self.fileno(), os.fspath(path))

    def unpin(self, path: str | os.PathLike[str]) -> None:
        """Take a name away again; the map stays as long as anybody has it.

        Raises:
            ValueError: what is there is another map, or none.
        """
        with pins.open_pinned(os.fspath(path), "map") as there:
            if sys_maps.info(there.fileno()).id != self.id:
                raise ValueError(f"{os.fspath(path)}: is not {self._label}")
        os.unlink(path)

    # -- keys and values as bytes

    def _pack(self, codec: Codec | None, value: Any, size: int, what: str) -> bytes:
        try:
            raw = codec.pack_value(value) if codec else _plain(value)
        except (RecordError, TypeError, ValueError) as error:
            raise RecordError(f"{self._label}: {what}: {error}") from error
        if len(raw) != size:
            raise RecordError(f"{self._label}: {what} of {len(raw)} bytes, expected {size}")
        return raw

    def _pack_key(self, key: Any) -> bytes:
        return self._pack(self._key, key, self.key_size, "key")

    def _unpack_key(self, raw: bytes) -> Any:
        return self._key.unpack_value(raw) if self._key else raw

    def _pack_one(self, value: Any) -> bytes:
        return self._pack(self._value, value, self.value_size, "value")

    def _unpack_one(self, raw: bytes) -> Any:
        return self._value.unpack_value(raw) if self._value else raw

    def _pack_value(self, value: Any) -> bytes:
        if not self._cpus:
            return self._pack_one(value)
        if isinstance(value, (str, bytes, bytearray)) or not isinstance(value, Sequence) or len(value) != self._cpus:
            count = f"{len(value)} values" if isinstance(value, list) else "one value"
            raise RecordError(f"{self._label}: {count}, expected a list of {self._cpus}, one for each possible CPU")
        width = stride(self.value_size)
        return b"".join([self._pack_one(v).ljust(width, b"\0") for v in value])

    def _unpack_value(self, raw: bytes) -> Any:
        if not self._cpus:
            return self._unpack_one(raw)
        width, size = stride(self.value_size), self.value_size
        return PerCpu([self._unpack_one(raw[i : i + size]) for i in range(0, self._read_size, width)])

    def _values_of(self, raw: bytes) -> Sequence[Any]:
        """The values that lie one after the other in `raw`."""
        if not self._cpus and self._by_codec:
            return values_of(self._value, raw, self.value_size)
        size = self._read_size
        return [self._unpack_value(raw[i : i + size]) for i in range(0, len(raw), size)]

    # -- one element

    def _lookup(self, key: bytes | None, flags: int = 0) -> bytes | None:
        return sys_maps.lookup(self.fileno(), self.name, key, self._read_size, flags=flags)

    def _update(self, key: bytes | None, value: bytes, flags: int = 0) -> None:
        sys_maps.update(self.fileno(), self.name, key, value, flags=flags)

    def _delete(self, key: bytes) -> bool:
        return sys_maps.delete(self.fileno(), self.name, key)

    def _take(self, key: bytes | None) -> bytes | None:
        return sys_maps.take(self.fileno(), self.name, key, self._read_size)

    def _update_many(self, pairs: list[tuple[bytes, bytes]]) -> None:
        if len(pairs) > 1 and has("batch"):
            keys, values = b"".join([k for k, _ in pairs]), b"".join([v for _, v in pairs])
            number, done = sys_maps.write_batch(Cmd.MAP_UPDATE_BATCH, self.fileno(), keys, values, len(pairs))
            if not number:
                return
            pairs = pairs[done:]  # the first of these tells what is wrong
        for key, value in pairs:
            self._update(key, value)

    # -- memory

    def _map_memory(self, length: int) -> mmap.mmap:
        """Its memory, mapped once; read-only where the kernel allows no more."""
        if self._memory is None:
            pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
            both = mmap.PROT_READ | mmap.PROT_WRITE
            try:
                self._memory = mmap.mmap(self.fileno(), pages, mmap.MAP_SHARED, both)
            except PermissionError:
                # Frozen, or meant to be read-only for programs.
                self._memory = mmap.mmap(self.fileno(), pages, mmap.MAP_SHARED, mmap.PROT_READ)
        return self._memory


def _plain(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    # Of an int, bytes() would make that many zeros.
    raise TypeError(f"{value!r} is no bytes, and BTF does not say what it could be")
