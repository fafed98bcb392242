"""Maps with keys of any kind: dictionaries in the kernel."""

from __future__ import annotations

import errno
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from itertools import islice
from typing import Any

from pybpfload._sys import maps as sys_maps
from pybpfload._sys.bpf import error_of
from pybpfload.errors import SyscallError
from pybpfload.features import has
from pybpfload.maps.base import Map
from pybpfload.maps.decode import values_of
from pybpfload.maps.walk import Shape, Walk, limit_of
from pybpfload.uapi import Cmd, UpdateFlag

__all__ = ["HashMap", "Keyed"]

MISSING: Any = object()
SETDEFAULT_TRIES = 100


class Keyed(Map):
    """A map whose entries have keys; what can be done with one entry at a time."""

    def __getitem__(self, key: Any) -> Any:
        raw = self._lookup(self._pack_key(key))
        if raw is None:
            raise KeyError(key)
        return self._unpack_value(raw)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        if not self._delete(self._pack_key(key)):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._lookup(self._pack_key(key)) is not None

    def get(self, key: Any, default: Any = None, *, flags: int = 0) -> Any:
        """The value of a key, or the default.

        Args:
            flags: UpdateFlag.LOCK reads under the bpf_spin_lock in the value.
        """
        raw = self._lookup(self._pack_key(key), int(flags))
        return default if raw is None else self._unpack_value(raw)

    def put(self, key: Any, value: Any, *, flags: int = 0) -> None:
        """Write one value.

        Args:
            flags: UpdateFlag: NOEXIST makes it fail with EEXIST when the key is there, EXIST with ENOENT when
                it is not; LOCK writes under the bpf_spin_lock in the value.

        Raises:
            RecordError: key or value do not fit their types.
            SyscallError: E2BIG when the map is full.
        """
        self._update(self._pack_key(key), self._pack_value(value), int(flags))

    def pop(self, key: Any, default: Any = MISSING) -> Any:
        """Take an entry out of the map.

        In one step where the kernel has it (5.14 for hash tables), so that nothing is lost that a program
        counts meanwhile; else by reading and deleting.
        """
        raw = self._pop_raw(self._pack_key(key))
        if raw is not None:
            return self._unpack_value(raw)
        if default is MISSING:
            raise KeyError(key)
        return default

    def _pop_raw(self, key: bytes) -> bytes | None:
        if has("lookup_and_delete"):
            try:
                return self._take(key)
            except SyscallError as error:
                if not sys_maps.unsupported(error):
                    raise
        raw = self._lookup(key)
        return raw if raw is not None and self._delete(key) else None


class HashMap(Keyed, MutableMapping[Any, Any]):
    """A hash table: a dictionary whose entries are in the kernel.

    `items()`, `values()`, iteration, `update()`, `clear()` and `drain()` move many entries with one system
    call. Iteration is safe while programs change the map; see `pybpfload.maps.walk`. For a copy, take
    ``dict(m.items())``: ``dict(m)`` would ask for each key.
    """

    def _walk(self) -> Walk:
        return Walk(Shape(self.fileno, self.name, self.type, self.key_size, self._read_size, self.max_entries))

    def _keys_of(self, raw: bytes) -> Iterable[Any]:
        return values_of(self._key, raw, self.key_size)

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._walk().entries():
            yield from self._keys_of(chunk.keys)

    def __len__(self) -> int:
        """How many entries there are: counts them all."""
        return sum(chunk.entries for chunk in self._walk().entries())

    def __bool__(self) -> bool:
        """Whether there is any entry."""
        return sys_maps.next_key(self.fileno(), self.name, None, self.key_size) is not None

    def keys(self) -> KeysView[Any]:
        """The keys."""
        return KeysView(self)

    def items(self) -> ItemsView[Any, Any]:
        """Keys and values, read in batches."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """The values, read in batches."""
        return _Values(self)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Write many entries, in batches where the kernel has them.

        All or nothing it is not: when the kernel refuses one, those before it are written. What cannot be packed is
        found before its batch is.
        """
        pairs = iter(other.items() if isinstance(other, Mapping) else other)
        limit = limit_of(self.key_size + self._read_size, 1 << 30)
        for source in (pairs, iter(more.items())):
            while chunk := [(self._pack_key(k), self._pack_value(v)) for k, v in islice(source, limit)]:
                self._update_many(chunk)

    def clear(self) -> None:
        """Take all entries out. Those that programs add meanwhile may stay."""
        if self._walk().may_batch:
            try:
                for _ in self._walk().batches(remove=True):
                    pass
                return
            except SyscallError as error:
                if not sys_maps.unsupported(error):
                    raise
        for chunk in self._walk().entries():
            self._delete_many(chunk.keys, chunk.entries)

    def _delete_many(self, keys: bytes, count: int) -> None:
        size, done = self.key_size, 0
        while done < count and count > 1 and has("batch"):
            number, gone = sys_maps.write_batch(
                Cmd.MAP_DELETE_BATCH, self.fileno(), keys[done * size :], b"", count - done
            )
            done += gone
            if number == errno.ENOENT:
                done += 1  # this one went by itself
            elif number or not gone:
                break
        for i in range(done, count):
            self._delete(keys[i * size : (i + 1) * size])

    def drain(self) -> Iterator[tuple[Any, Any]]:
        """Take entries out and give them, in batches: nothing that a program counts is lost in between.

        What has been taken out of the map and not been asked for is gone: exhaust the iterator.
        """
        if self._walk().may_batch:
            try:
                for chunk in self._walk().batches(remove=True):
                    yield from zip(self._keys_of(chunk.keys), self._values_of(chunk.values))
                return
            except SyscallError as error:
                if not sys_maps.unsupported(error):
                    raise
        for chunk in self._walk().one_by_one():
            raw = self._pop_raw(chunk.keys)
            if raw is not None:
                yield self._unpack_key(chunk.keys), self._unpack_value(raw)

    def popitem(self) -> tuple[Any, Any]:
        """Take any entry out of the map."""
        for chunk in self._walk().one_by_one():
            raw = self._pop_raw(chunk.keys)
            if raw is not None:
                return self._unpack_key(chunk.keys), self._unpack_value(raw)
        raise KeyError(f"{self._label} is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key, which gets the default first if it is not there."""
        raw = self._pack_key(key)
        for _ in range(SETDEFAULT_TRIES):
            found = self._lookup(raw)
            if found is not None:
                return self._unpack_value(found)
            try:
                self._update(raw, self._pack_value(default), int(UpdateFlag.NOEXIST))
            except SyscallError as error:
                if error.errno != errno.EEXIST:
                    raise
        raise error_of(errno.EAGAIN, f"BPF_MAP_UPDATE_ELEM {self.name}", "the key comes and goes")


class _Items(ItemsView[Any, Any]):
    _mapping: HashMap

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        m = self._mapping
        for chunk in m._walk().entries():
            yield from zip(m._keys_of(chunk.keys), m._values_of(chunk.values))


class _Values(ValuesView[Any]):
    _mapping: HashMap

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._mapping._walk().entries():
            yield from self._mapping._values_of(chunk.values)
