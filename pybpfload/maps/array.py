"""Arrays: every element is there from the start, as zeros."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pybpfload._sys import maps as sys_maps
from pybpfload.errors import RecordError, SyscallError
from pybpfload.features import has
from pybpfload.maps.base import Map
from pybpfload.maps.cpus import stride
from pybpfload.maps.walk import Shape, Walk, limit_of
from pybpfload.uapi import MapFlag

__all__ = ["ArrayMap", "Indexed"]

INDEX = struct.Struct("=I")


class Indexed(Map):
    """A map whose keys are numbers from 0 to max_entries - 1."""

    def _index(self, key: Any) -> int:
        if isinstance(key, (bytes, bytearray)):
            if len(key) != INDEX.size:
                raise RecordError(f"{self._label}: key of {len(key)} bytes, expected {INDEX.size}")
            (key,) = INDEX.unpack(key)
        try:
            number = int(key.__index__())
        except AttributeError:
            raise RecordError(f"{self._label}: key {key!r} is no number") from None
        if number < 0:
            number += self.max_entries
        if not 0 <= number < self.max_entries:
            raise IndexError(f"{self._label}: index {key} is not within its {self.max_entries} elements")
        return number

    def _pack_key(self, key: Any) -> bytes:
        return INDEX.pack(self._index(key))


class ArrayMap(Indexed, Sequence[Any]):
    """An array: a sequence of fixed length in the kernel, whose elements can be set.

    Reading all of it, slices and `update()` take few system calls. Elements cannot be taken out: `clear()`
    makes them zero.
    """

    def __len__(self) -> int:
        return self.max_entries

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            wanted = range(self.max_entries)[key]
            if wanted.step == 1:
                return list(self._values(wanted))
            return [self[i] for i in wanted]
        raw = self._lookup(self._pack_key(key))
        if raw is None:
            raise IndexError(f"{self._label}: index {key}: the kernel has no such element")
        return self._unpack_value(raw)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            wanted = range(self.max_entries)[key]
            values = list(value)
            if len(values) != len(wanted):
                raise ValueError(f"{self._label}: {len(values)} values for {len(wanted)} elements")
            self.update(zip(wanted, values))
        else:
            self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        raise TypeError(f"{self._label} is a {self.type.name}: its elements cannot be deleted, only set")

    def __iter__(self) -> Iterator[Any]:
        return self._values(range(self.max_entries))

    def get(self, key: Any, default: Any = None, *, flags: int = 0) -> Any:
        """The value at an index, or the default when the index is too large.

        Args:
            flags: UpdateFlag.LOCK reads under the bpf_spin_lock in the value.
        """
        try:
            raw = self._lookup(self._pack_key(key), int(flags))
        except IndexError:
            return default
        return default if raw is None else self._unpack_value(raw)

    def put(self, key: Any, value: Any, *, flags: int = 0) -> None:
        """Set one element.

        Args:
            flags: UpdateFlag.LOCK writes under the bpf_spin_lock in the value; NOEXIST always fails with EEXIST.
        """
        self._update(self._pack_key(key), self._pack_value(value), int(flags))

    def items(self) -> Iterator[tuple[int, Any]]:
        """Index and value of each element."""
        return enumerate(self._values(range(self.max_entries)))

    def update(self, other: Mapping[int, Any] | Iterable[tuple[int, Any]]) -> None:
        """Set many elements: a mapping, or pairs of index and value; in batches where the kernel has them."""
        pairs = iter(other.items() if isinstance(other, Mapping) else other)
        limit = limit_of(INDEX.size + self._read_size, 1 << 30)
        while chunk := [(self._pack_key(k), self._pack_value(v)) for k, v in islice(pairs, limit)]:
            self._update_many(chunk)

    def clear(self) -> None:
        """Make every element zero."""
        zero = bytes(self._read_size)
        limit = limit_of(INDEX.size + self._read_size, self.max_entries)
        for start in range(0, self.max_entries, limit):
            end = min(start + limit, self.max_entries)
            self._update_many([(INDEX.pack(i), zero) for i in range(start, end)])

    def _values(self, wanted: range) -> Iterator[Any]:
        for raw in self._raw_values(wanted):
            yield from self._values_of(raw)

    def _raw_values(self, wanted: range) -> Iterator[bytes]:
        """The values of consecutive elements, some or one at a time."""
        at = wanted.start
        if has("batch") and len(wanted) > 1:
            shape = Shape(self.fileno, self.name, self.type, self.key_size, self._read_size, len(wanted))
            try:
                # Of an array, the cursor is the last index read.
                for chunk in Walk(shape).batches(begin=INDEX.pack(at - 1) if at else None):
                    count = min(chunk.entries, wanted.stop - at)
                    yield chunk.values[: count * self._read_size]
                    at += count
                    if at == wanted.stop:
                        return
            except SyscallError as error:
                if not sys_maps.unsupported(error):
                    raise
        for index in range(at, wanted.stop):
            raw = self._lookup(INDEX.pack(index))
            if raw is None:
                raise IndexError(f"{self._label}: index {index}: the kernel has no such element")
            yield raw

    @property
    def memory(self) -> mmap.mmap:
        """Its elements as memory that is shared with the programs, `round_up(value_size, 8)` bytes each.

        Reading and writing it takes no system call, and is not atomic beyond one aligned word. It is read-only
        when the map is. It belongs to the map and is closed with it.

        Raises:
            TypeError: the map was not created with MapFlag.MMAPABLE.

        Kernel: 5.5, fc9702273e2e.
        """
        if not self.flags & MapFlag.MMAPABLE:
            raise TypeError(f"{self._label} was created without MMAPABLE: it has no shared memory")
        return self._map_memory(stride(self.value_size) * self.max_entries)
