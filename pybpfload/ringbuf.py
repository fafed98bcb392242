"""Reading a BPF ring buffer.

The kernel appends records; we read them in place and then say how far we got. Two positions that only
grow say who owns what: `producer` is moved by the kernel, `consumer` by us, and both are taken modulo
the size. Each record begins with a header of eight bytes, whose first word holds its length, a busy bit
(reserved, not yet submitted) and a discard bit. The data pages are mapped twice in a row, so that a
record is always contiguous.

Invariants, and why:

- The consumer position is stored once a batch, behind the last record that was decoded: only the
  kernel reads it, to know what it may overwrite, and to decide whether to wake us. A record's memory is
  ours until then, so decoding copies.
- A batch ends at a busy record. Records before it are committed: the position then stands exactly at
  the busy one, and the kernel notifies when that one gets submitted.
- epoll is level-triggered. With edges, a record that is submitted between our last look and our wait
  would be announced to nobody.
- Memory order. The kernel submits with an exchange, which is a full barrier. On x86-64 loads are not
  reordered with loads, nor stores with older loads, so plain aligned accesses do: each position and
  header is read with one aligned load (``memoryview.cast`` does one memcpy of its size). On weaker
  machines a lock is taken and released between reading positions and reading data: its release and
  acquire are the barrier.

Source: kernel/bpf/ringbuf.c; Documentation/bpf/ringbuf.rst. Kernel: 5.8, 457f44363a88.
"""

from __future__ import annotations

import mmap
import platform
import select
import threading
from typing import Callable, Generic, TypeVar

from pybpfload.errors import ObjectError, RecordError, printable
from pybpfload.maps import Map
from pybpfload.uapi import MapType

__all__ = ["RingReader"]

T = TypeVar("T")

BUSY = 1 << 31
DISCARD = 1 << 30
LENGTH = DISCARD - 1
HEADER = 8
STRONG_ORDER = platform.machine() in ("x86_64", "i686", "s390x")


class RingReader(Generic[T]):
    """Reads and decodes the records of one ring buffer.

    Args:
        ring: stays the caller's, who closes it after the reader.
        decode: called with (buffer, offset, size) of each record; the buffer is only good during the
            call. RecordError counts the record as undecodable, and reading goes on.

    Attributes:
        received: records that were decoded.
        discarded: records that the program took back.
        undecodable: records that `decode` refused.

    Raises:
        ObjectError: the map is no ring buffer.
    """

    def __init__(self, ring: Map, decode: Callable[[memoryview, int, int], T]) -> None:
        if ring.type is not MapType.RINGBUF:
            raise ObjectError(f"map `{printable(ring.name)}` is {ring.type.name}, expected RINGBUF")
        self.size = ring.max_entries
        self.received = self.discarded = self.undecodable = 0
        self._decode = decode
        self._mask = self.size - 1
        page = mmap.PAGESIZE
        fd = ring.fileno()
        self._ours = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        try:
            self._theirs = mmap.mmap(fd, page + 2 * self.size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except BaseException:
            self._ours.close()
            raise
        self._consumer = memoryview(self._ours)[:8].cast("Q")
        self._all = memoryview(self._theirs)
        self._producer = self._all[:8].cast("Q")
        self._data = self._all[page:]
        self._headers = self._data.cast("I")
        self._epoll = select.epoll()
        self._epoll.register(fd, select.EPOLLIN)
        self._fence = threading.Lock()
        self._closed = False

    def __enter__(self) -> RingReader[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that is readable when there are records: for select, poll and asyncio."""
        return self._epoll.fileno()

    @property
    def pending(self) -> int:
        """Bytes that wait to be read, headers included, out of `size`."""
        return self._producer[0] - self._consumer[0]

    def poll(self, timeout_s: float = 0.0, max_records: int = 1 << 30) -> list[T]:
        """The next records, at most `max_records`; waits for the first at most `timeout_s` seconds."""
        records = self.read(max_records)
        if not records and timeout_s > 0 and self._epoll.poll(timeout_s, 1):
            records = self.read(max_records)
        return records

    def read(self, max_records: int = 1 << 30) -> list[T]:
        """The records that are there now, at most `max_records`. Never waits."""
        start = at = self._consumer[0]
        end = self._producer[0]
        if not STRONG_ORDER:
            self._barrier()
        records: list[T] = []
        append, decode, headers, data, mask = (
            records.append,
            self._decode,
            self._headers,
            self._data,
            self._mask,
        )
        limit = max_records
        try:
            while at < end and limit > 0:
                place = at & mask
                word = headers[place >> 2]
                if word & BUSY:
                    break
                if not STRONG_ORDER:
                    self._barrier()
                length = word & LENGTH
                at += length + HEADER + 7 & ~7
                limit -= 1
                if word & DISCARD:
                    self.discarded += 1
                    continue
                try:
                    append(decode(data, place + HEADER, length))
                except RecordError:
                    self.undecodable += 1
        finally:
            # Also when decode() raised something else: that record is not read again.
            if at != start:
                if not STRONG_ORDER:
                    self._barrier()
                self._consumer[0] = at
        self.received += len(records)
        return records

    def _barrier(self) -> None:
        with self._fence:
            pass

    def close(self) -> None:
        """Unmap the buffer. Records that were not read stay with the map. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        self._epoll.close()
        for view in (self._consumer, self._producer, self._headers, self._data, self._all):
            view.release()
        self._ours.close()
        self._theirs.close()
