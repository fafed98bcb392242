# SPDX-License-Identifier: MIT
"""Records as they come from the ring: their time, and the bytes behind it.

Nothing is decoded here but what has to be known at once: whether a record is one of ours.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Union

from pybpfload import RecordReader
from pybpfload.errors import RecordError

if TYPE_CHECKING:
    from pybpfload.btf import RecordLayout

Buffer = Union[bytes, bytearray, memoryview]

# A record that is not decoded yet: its time, and all that is behind it. Records that differ in their times alone have
# the same rest.
Row = tuple[int, bytes]
TIME_SIZE = 8
MAX_FORMATS = 256


class RowReader(RecordReader[Row]):
    """Takes records as rows: for a `RingReader`, which takes many at once where they have the same length.

    Args:
        layout: of the union of all records.
        kind_at: where the byte is that has the number of the kind.
        sizes: the least size of a record of each kind, by its number.
    """

    __slots__ = ("_kind_at", "_sizes", "_unpack")

    def __init__(self, layout: RecordLayout, kind_at: int, sizes: dict[int, int]) -> None:
        self._kind_at, self._sizes = kind_at, sizes
        self._unpack: dict[tuple[int, int, int], struct.Struct] = {}
        super().__init__(layout, self._read)
        self.batched, self.min_size = True, kind_at + 1

    def _read(self, buffer: Buffer, offset: int = 0, size: int | None = None) -> Row:
        return self.read_many(buffer, offset, 1, size=len(buffer) - offset if size is None else size)[0]

    def read_many(
        self, buffer: Buffer, offset: int, count: int, *, stride: int = 0, size: int | None = None, skip: int = 0
    ) -> list[Row]:
        """The rows of records that follow each other. The arguments are those of `RecordReader`.

        Raises:
            RecordError: one is of no known kind, or too short for it, and none is returned.
        """
        size = self.size if size is None else size
        stride = stride or size + skip
        end = offset + count * stride
        if size < self.min_size or skip < 0 or stride < skip + size or offset < 0 or count < 0 or end > len(buffer):
            raise RecordError(f"{count} records of {size} bytes at {offset} of {len(buffer)}: too short")
        for number in set(bytes(buffer[offset + skip + self._kind_at : end : stride])):
            if size < self._sizes.get(number, sys.maxsize):
                raise RecordError(f"record of {size} bytes: too short for kind {number} of {sorted(self._sizes)}")
        unpack = self._unpack.get((stride, size, skip))
        if unpack is None:
            unpack = struct.Struct(f"={skip}xQ{size - TIME_SIZE}s{stride - skip - size}x")
            if len(self._unpack) < MAX_FORMATS:
                self._unpack[stride, size, skip] = unpack
        return list(unpack.iter_unpack(buffer[offset:end]))
