"""Maps whose values are other things of the kernel: programs, maps, sockets, devices, cgroups, perf events.

Written are file descriptors, or anything that has a `fileno()`; of devices and CPUs, their numbers. What is
read is the kernel's number for the thing, such as its id or its cookie. Some things leave the map by
themselves when they go away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

from pybpfload.errors import RecordError
from pybpfload.maps.array import INDEX, Indexed
from pybpfload.maps.base import Map
from pybpfload.maps.hash import HashMap, Keyed
from pybpfload.uapi import MapType

__all__ = ["HandleHash", "MapArray", "MapHash", "SlotMap"]

# Their values are structs that begin with a number of 32 bits; of the others, one number of 32 or 64.
STRUCTS = (MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.CPUMAP)


class _Handles(Map):
    """How such values are written and read."""

    _by_codec = False

    def _pack_one(self, value: Any) -> bytes:
        number = value.fileno() if hasattr(value, "fileno") else value
        if not isinstance(number, int) or isinstance(number, bool):
            return super()._pack_one(value)
        size = 4 if self.type in STRUCTS else self.value_size
        try:
            return number.to_bytes(size, sys.byteorder).ljust(self.value_size, b"\0")
        except OverflowError as error:
            raise RecordError(f"{self._label}: value {number}: {error}") from None

    def _unpack_one(self, raw: bytes) -> Any:
        if self._value is not None and self._value.kind == "struct":
            return self._value.unpack_value(raw)
        if self.type in STRUCTS and len(raw) != 4:
            return raw
        return int.from_bytes(raw, sys.byteorder)


class SlotMap(_Handles, Indexed, Keyed, MutableMapping[int, Any]):
    """Numbered slots, each empty or with a thing in it: a dictionary by number, of the slots that are filled.

    Of perf events, cgroups and AF_XDP sockets the kernel does not tell what is in a slot: they can only be set.
    """

    def get(self, key: Any, default: Any = None, *, flags: int = 0) -> Any:
        """What is in a slot, or the default."""
        try:
            return super().get(key, default, flags=flags)
        except IndexError:
            return default

    def __contains__(self, key: object) -> bool:
        try:
            return super().__contains__(key)
        except IndexError:
            return False

    def __iter__(self) -> Iterator[int]:
        return (index for index, _ in self._filled())

    def __len__(self) -> int:
        """How many slots are filled."""
        return sum(1 for _ in self._filled())

    def _filled(self) -> Iterator[tuple[int, bytes]]:
        for index in range(self.max_entries):
            raw = self._lookup(INDEX.pack(index))
            if raw is not None:
                yield index, raw

    def clear(self) -> None:
        """Empty all slots."""
        for index in range(self.max_entries):
            self._delete(INDEX.pack(index))


class HandleHash(_Handles, HashMap):
    """A hash table of things."""


class _Nested(_Handles, Keyed):
    def inner(self, key: Any) -> Map:
        """Open the map that is held under a key. The caller closes it.

        Raises:
            KeyError: there is none.
            PrivilegeError: opening by id takes CAP_SYS_ADMIN.
        """
        from pybpfload.maps.create import open_map

        return open_map(self[key])


class MapArray(_Nested, SlotMap):
    """An array of maps that are all alike. Written are maps, or their descriptors; read are ids."""


class MapHash(_Nested, HandleHash):
    """A hash table of maps that are all alike. Written are maps, or their descriptors; read are ids."""
