"""Maps without keys: queues, stacks, Bloom filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pybpfload._sys import maps as sys_maps
from pybpfload.maps.base import Map
from pybpfload.uapi import UpdateFlag

__all__ = ["BloomFilter", "QueueMap"]


class QueueMap(Map):
    """A queue, first in first out; or a stack, last in first out."""

    def push(self, value: Any, *, replace: bool = False) -> None:
        """Put a value in.

        Args:
            replace: when it is full, drop the oldest value instead of failing.

        Raises:
            SyscallError: E2BIG when it is full.
        """
        self._update(None, self._pack_value(value), int(UpdateFlag.EXIST) if replace else 0)

    def pop(self) -> Any:
        """Take out the next value.

        Raises:
            IndexError: it is empty.
        """
        return self._next(self._take(None))

    def peek(self) -> Any:
        """The next value, which stays.

        Raises:
            IndexError: it is empty.
        """
        return self._next(self._lookup(None))

    def _next(self, raw: bytes | None) -> Any:
        if raw is None:
            raise IndexError(f"{self._label} is empty")
        return self._unpack_value(raw)

    def drain(self) -> Iterator[Any]:
        """Take out what is in it: max_entries values at most, however fast programs put in more."""
        for _ in range(self.max_entries):
            raw = self._take(None)
            if raw is None:
                return
            yield self._unpack_value(raw)

    def __bool__(self) -> bool:
        """Whether there is any value."""
        return self._lookup(None) is not None


class BloomFilter(Map):
    """A set that may say yes where it should say no, and never the other way round.

    Values can be put in, and asked for; nothing else. `map_extra` is how many hash functions it uses.
    """

    def push(self, value: Any) -> None:
        """Put a value in."""
        self._update(None, self._pack_value(value))

    def update(self, values: Any) -> None:
        """Put many values in."""
        for value in values:
            self.push(value)

    def __contains__(self, value: object) -> bool:
        """Whether a value is probably in it; False is certain."""
        raw = self._pack_value(value)
        return sys_maps.lookup(self.fileno(), self.name, None, len(raw), given=raw) is not None
