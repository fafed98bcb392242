"""Walking through a map that others change meanwhile.

The kernel gives the key that follows a key. Of a key that is gone it does not know the place, so it
gives the first key again: a loop that trusts it may go round for ever, or see keys twice. Most types can
also be read in batches. Of hash tables the cursor of a batch is a bucket, and each bucket is read once;
of others it is a key, with the same trouble; and the order of their keys may change.

What a walk keeps:

- A key that is there all the time is seen exactly once. (A resizable table that is being resized all the
  time may hide one.)
- A key that comes or goes meanwhile is seen once or not at all. One that was taken out and put back
  may be seen again, where a bucket is the cursor.
- It ends: with an error, if it takes so many steps that the map must be changing faster than it is walked.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Callable, NamedTuple

from pybpfload._sys import maps as sys_maps
from pybpfload._sys.maps import Chunk
from pybpfload.errors import IterationError, SyscallError
from pybpfload.features import has
from pybpfload.uapi import MapType

__all__ = ["Walk", "limit_of"]

BY_BUCKET = (
    MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH, MapType.HASH_OF_MAPS,
)  # fmt: skip
LOCAL_STORAGE = (MapType.CGROUP_STORAGE, MapType.PERCPU_CGROUP_STORAGE)
CHUNK_BYTES = 1 << 20
CHUNK_ENTRIES = 1 << 14


def limit_of(entry_size: int, max_entries: int) -> int:
    """How many entries to handle in one call."""
    return max(1, min(CHUNK_BYTES // max(1, entry_size), CHUNK_ENTRIES, max_entries))


class Shape(NamedTuple):
    """The map to walk through.

    Attributes:
        fileno: asked before each call: the map may be closed meanwhile, and the number be another file's.
        value_size: what one lookup writes.
    """

    fileno: Callable[[], int]
    name: str
    type: MapType
    key_size: int
    value_size: int
    max_entries: int


class Walk:
    """One walk through a map: entries as bytes, in chunks.

    Attributes:
        PASSES: how often to go through a map whose order is not fixed.
        ROUNDS, SPARE: how many steps may be taken: enough for the passes, and to begin anew a few times.
    """

    PASSES = 3
    ROUNDS = 6
    SPARE = 64

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._left = self.ROUNDS * shape.max_entries + self.SPARE
        self._seen: set[bytes] = set()
        self._order: list[bytes] = []  # where the walk has been, without keys that were found to be gone
        self._read: list[bytes] = []  # keys of whole chunks, that are not in the two above yet

    @property
    def may_batch(self) -> bool:
        """Whether batches can be tried.

        Not of a resizable table: while it is being resized, the kernel (7.3) may say that there is no entry.
        """
        return has("batch") and self._shape.type is not MapType.RHASH

    def _step(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise IterationError(f"map `{self._shape.name}`: changes faster than it can be walked")

    def _note(self, key: bytes) -> None:
        self._seen.add(key)
        self._order.append(key)

    def _next(self, key: bytes | None) -> bytes | None:
        return sys_maps.next_key(self._shape.fileno(), self._shape.name, key, self._shape.key_size)

    def _value(self, key: bytes) -> bytes | None:
        return sys_maps.lookup(self._shape.fileno(), self._shape.name, key, self._shape.value_size)

    def _resume(self) -> bytes | None:
        """The key after the last one that is still there: from there the walk goes on."""
        while self._order:
            self._step()
            key = self._order[-1]
            following = self._next(key)
            if self._value(key) is not None:
                return following
            self._order.pop()
        return self._next(None)

    def one_by_one(self) -> Iterator[Chunk]:
        """The entries that were not seen yet, with two system calls each.

        The value is read after the key that follows: if it is there, then the key was there, too, when the kernel
        was asked what follows it. And the caller may delete what is given.

        Where the order of keys can change, the walk is repeated until it finds nothing new: a resizable table moves
        its entries, and a trie before 6.12 (532d6b36b2bf) may skip some after a key that is gone.
        """
        for _ in range(self.PASSES):
            found = False
            for chunk in self._one_pass():
                found = True
                yield chunk
            if not found or self._shape.type in BY_BUCKET:
                return
            self._order.clear()

    def _one_pass(self) -> Iterator[Chunk]:
        key = self._resume()
        while key is not None:
            self._step()
            following = self._next(key)
            value = self._value(key)
            if value is None:
                gone, key = key, self._resume()
                # After the last entry of these, older kernels (5.10) give a key that is none, again and again.
                if key == gone and self._shape.type in LOCAL_STORAGE:
                    return
                continue
            self._order.append(key)
            if key not in self._seen:
                self._seen.add(key)
                yield Chunk(0, 1, key, value, b"")
            key = following

    def batches(self, *, remove: bool = False, begin: bytes | None = None) -> Iterator[Chunk]:
        """Chunks as the kernel gives them.

        Args:
            remove: take the entries out of the map.
            begin: the cursor to begin at.

        Raises:
            SyscallError: `sys_maps.unsupported()` when the type has no batches.
        """
        shape = self._shape
        cursor = begin
        limit = limit_of(shape.key_size + shape.value_size, shape.max_entries)
        while True:
            chunk = sys_maps.read_batch(
                shape.fileno(), shape.name, cursor, limit,
                key_size=shape.key_size, value_size=shape.value_size, remove=remove,
            )  # fmt: skip
            if chunk.error == errno.ENOSPC:
                # One bucket holds more than that. None holds more than all entries, and a few that are spare.
                if limit > shape.max_entries + self.SPARE:
                    raise IterationError(f"map `{shape.name}`: {limit} entries are not enough for one bucket")
                limit *= 2
                continue
            if chunk.entries:
                yield chunk
            if chunk.error:
                return
            cursor = chunk.cursor

    def entries(self) -> Iterator[Chunk]:
        """All entries: in batches where the kernel and the type have them, else one by one."""
        if self.may_batch:
            try:
                if self._shape.type in BY_BUCKET:
                    for chunk in self.batches():
                        self._read.append(chunk.keys)
                        yield chunk
                    return
                for chunk in self.batches():
                    fresh = self._fresh(chunk)
                    yield fresh
                    if fresh.entries != chunk.entries:
                        break  # it began anew
                else:
                    return
            except SyscallError as error:
                # EINTR: keys vanished too fast for the kernel; ENOMEM: it had no room for a batch.
                if not sys_maps.unsupported(error) and error.errno not in (errno.EINTR, errno.ENOMEM):
                    raise
        for keys in self._read:
            for key in self._split(keys):
                self._note(key)
        yield from self.one_by_one()

    def _split(self, keys: bytes) -> list[bytes]:
        size = self._shape.key_size
        return [keys[i : i + size] for i in range(0, len(keys), size)]

    def _fresh(self, chunk: Chunk) -> Chunk:
        """The entries of a chunk that were not seen yet."""
        width = self._shape.value_size
        keys = self._split(chunk.keys)
        new = []
        for i, key in enumerate(keys):
            if key not in self._seen:
                self._note(key)
                new.append(i)
        if len(new) == chunk.entries:
            return chunk
        values = b"".join([chunk.values[i * width : (i + 1) * width] for i in new])
        return chunk._replace(entries=len(new), keys=b"".join([keys[i] for i in new]), values=values)
