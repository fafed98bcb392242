"""Reading a perf buffer: what programs send with bpf_perf_event_output(), on kernels of any age.

Each CPU has a buffer of its own: a page that says how far it is written (`head`, by the kernel) and read
(`tail`, by us), and the data behind it. Both positions only grow, and are taken modulo the size. A record
begins with eight bytes: its type, flags and size. Unlike a ring buffer, the data are mapped only once: a
record that goes over the end continues at the start, and is put together from two pieces.

Differences from a ring buffer that programs and users have to know:

- Records of one CPU come in order; those of several CPUs do not.
- The kernel rounds sizes up: up to seven bytes behind a record are leftovers of older ones.
- The kernel counts what found no room. Since 6.0 reading the event tells; before, a record in the buffer
  tells it, but only once there is room again, and something is sent.

Order of memory. The kernel writes records, then `head`, with a barrier between; it loads `tail` before it
writes. So on our side the load of `head` has to come before those of records, and these before the store of
`tail`: as with ring buffers, that is so on x86-64 by itself, and by a `Fence` elsewhere. There are no busy
records: `head` covers only complete ones.

Waiting. A wake-up is an edge: the kernel raises it once when `wakeup` records or `watermark` bytes have
come together, and looking at it takes it away. So we wait only after all buffers were found empty; and
when a bounded batch leaves records, we keep our own descriptor readable by an eventfd until they are read.

Source: kernel/events/ring_buffer.c (__perf_output_begin, perf_output_put_handle), kernel/events/core.c
(perf_poll); include/uapi/linux/perf_event.h. Kernel: 4.4, a43eec304259.
"""

from __future__ import annotations

import mmap
import os
import select
import sys
from typing import Callable

from pybpfload._sys import maps as sys_maps
from pybpfload._sys import perfbuf as sys_perfbuf
from pybpfload._sys.fd import Fd
from pybpfload._sys.memory import map_shared
from pybpfload.errors import ObjectError, RecordError, printable
from pybpfload.events import Decode, EventReader, T, wake_pair
from pybpfload.maps import Map
from pybpfload.ringbuf import STRONG_ORDER, Fence
from pybpfload.uapi import MapType

__all__ = ["PerfReader"]

HEADER = 8
RAW = 12  # the header, and the size of the raw data
RECORD_LOST, RECORD_SAMPLE = 2, 9
HEAD, TAIL = 1024 // 8, 1032 // 8  # offsets in struct perf_event_mmap_page, in words
RUN_START, RUN_MAX = 16, 4096
# struct perf_event_header as one word: u32 type, u16 misc, u16 size
KIND_SHIFT, SIZE_SHIFT = (0, 48) if sys.byteorder == "little" else (32, 0)


class _Buffer:
    """The buffer of one CPU.

    Attributes:
        lost: as the buffer's own records tell.
    """

    def __init__(self, cpu: int, event: Fd, counts: bool, memory: mmap.mmap) -> None:
        self.cpu, self.event, self.counts = cpu, event, counts
        self.lost = 0
        whole = memoryview(memory)
        self.page = whole[: mmap.PAGESIZE].cast("Q")
        self.data = whole[mmap.PAGESIZE :]
        self.words = self.data.cast("Q")
        self.views = (whole, self.data, self.words, self.page)
        self.run = RUN_START

    def count_equal(self, place: int, size: int, limit: int) -> int:
        """How many records from a place on have the same header; looks at few at first, and then at more."""
        count = min(limit, self.run)
        found = self.words[place >> 3 : (place + count * size) >> 3 : size >> 3].tolist()
        word = found[0]
        if found.count(word) == count:
            self.run = min(2 * self.run, RUN_MAX)
            return count
        self.run = RUN_START
        return next(i for i, other in enumerate(found) if other != word)

    def count_lost(self) -> int:
        """Records that found no room so far."""
        return sys_perfbuf.read_lost(self.event.fileno()) if self.counts else self.lost


class PerfReader(EventReader[T]):
    """Reads and decodes what programs output to a perf event array. For what it can do, see `EventReader`.

    It enters an event for each CPU that is online into the map, and takes it out when it is closed: one reader
    for a map. CPUs that come online later are not read.

    Args:
        array: stays the caller's, who closes it after the reader.
        decode: see `RingReader`. Sizes may be up to seven bytes too large: see `RecordLayout.reader`'s `cut`.
        size: of each CPU's buffer in bytes: a power of two, a page at least.
        wakeup: wake who waits after so many records.
        watermark: or, if not 0, when so many bytes wait.
        lost: how many records the program could not send, if it counts them; else the kernel's own counters are
            taken.

    Raises:
        ObjectError: the map is no perf event array, or the size cannot be.
        SyscallError: the kernel refused an event, or (EPERM) so much locked memory.
    """

    def __init__(
        self,
        array: Map,
        decode: Decode[T],
        *,
        size: int = 1 << 18,
        wakeup: int = 1,
        watermark: int = 0,
        lost: Callable[[], int] | None = None,
    ) -> None:
        where = f"map `{printable(array.name)}`"
        if array.type is not MapType.PERF_EVENT_ARRAY:
            raise ObjectError(f"{where} is {array.type.name}, expected PERF_EVENT_ARRAY")
        if size < mmap.PAGESIZE or size & (size - 1):
            raise ObjectError(f"{where}: buffers of {size} bytes, expected a power of two from {mmap.PAGESIZE} on")
        if not 0 <= watermark < size or wakeup < 1:
            raise ObjectError(f"{where}: watermark {watermark}, wakeup {wakeup}: expected below {size}, and 1 or more")
        super().__init__(array.name, decode, lost)
        self.size = size
        self._mask = size - 1
        self._fence = Fence()
        self._buffers: list[_Buffer] = []
        self._next = 0
        self._final_lost = 0
        self._leftover = False
        try:
            reads, self._more = wake_pair()
            self._resources.callback(self._more.close)
            self._resources.callback(reads.close)
            self._more_reads = reads
            self._epoll.register(reads.fileno(), select.EPOLLIN)
            for cpu in sys_perfbuf.online_cpus():
                if cpu < array.max_entries:
                    self._open(array, cpu, wakeup, watermark)
            self._resources.callback(self._remember_lost)
        except BaseException:
            self._resources.close()
            raise

    def _open(self, array: Map, cpu: int, wakeup: int, watermark: int) -> None:
        opened = sys_perfbuf.open_output(cpu, watermark=watermark, events=wakeup)
        if opened is None:
            return
        event, counts = opened
        self._resources.callback(event.close)
        what = f"perf buffer {printable(array.name)} of CPU {cpu}"
        memory = map_shared(event.fileno(), mmap.PAGESIZE + self.size, what, write=True)
        self._keep(memory)
        buffer = _Buffer(cpu, event, counts, memory)
        self._keep(*buffer.views)
        self._epoll.register(event.fileno(), select.EPOLLIN)
        key = cpu.to_bytes(4, sys.byteorder)
        sys_maps.update(array.fileno(), array.name, key, event.fileno().to_bytes(4, sys.byteorder))
        self._resources.callback(_take_out, array, key)
        self._buffers.append(buffer)

    def _pending(self) -> int:
        return sum([each.page[HEAD] - each.page[TAIL] for each in self._buffers])

    def _lost(self) -> int:
        if not self._enter():
            return self._final_lost
        try:
            return sum([each.count_lost() for each in self._buffers])
        finally:
            self._leave()

    def _remember_lost(self) -> None:
        self._final_lost = sum([each.count_lost() for each in self._buffers])

    def _drain(self, records: list[T], limit: int) -> None:
        before, count = len(records), len(self._buffers)
        try:
            for i in range(count):
                number = (self._next + i) % count
                limit = self._drain_one(self._buffers[number], records, limit)
                if limit <= 0:
                    # The next call begins where this one ended: no CPU waits for ever.
                    self._next = (number + 1) % count
                    break
        finally:
            self.received += len(records) - before
        if (limit <= 0 and self._pending() > 0) is not self._leftover:
            self._leftover = not self._leftover
            if self._leftover:
                os.write(self._more.fileno(), (1).to_bytes(8, sys.byteorder))
            else:
                os.read(self._more_reads.fileno(), 8)

    def _drain_one(self, buffer: _Buffer, records: list[T], limit: int) -> int:
        """As `_drain`, from one CPU; returns what is left of `limit`."""
        page, words, mask, decode, many = buffer.page, buffer.words, self._mask, self._decode, self._many
        start = at = page[TAIL]
        end = page[HEAD]
        if at == end:
            return limit
        if not STRONG_ORDER:
            self._fence()
        if not 0 < end - at <= self.size or at & 7:
            raise self._broken(buffer, at, end)
        one_by_one = 0
        try:
            while at < end and limit > 0:
                place = at & mask
                word = words[place >> 3]
                kind, size = word >> KIND_SHIFT & 0xFFFFFFFF, word >> SIZE_SHIFT & 0xFFFF
                if size < HEADER or size & 7 or at + size > end:
                    raise self._broken(buffer, at, end)
                if kind != RECORD_SAMPLE:
                    if kind == RECORD_LOST and size >= 24:
                        buffer.lost += words[(at + 16 & mask) >> 3]
                    at += size
                    continue
                count = min(end - at, self.size - place, limit * size) // size
                if many is not None and at >= one_by_one and count > 1 and size - RAW >= many.min_size:
                    count = buffer.count_equal(place, size, count)
                    try:
                        records += many.read_many(buffer.data, place, count, stride=size, size=size - RAW, skip=RAW)
                    except Exception:  # noqa: BLE001
                        # Find out which it was: it is raised once more.
                        one_by_one = at + count * size
                        continue
                    at += count * size
                    limit -= count
                    continue
                whole, offset = buffer.data, place
                if place + size > self.size:
                    whole = memoryview(bytes(buffer.data[place:]) + bytes(buffer.data[: place + size - self.size]))
                    offset = 0
                at += size
                limit -= 1
                try:
                    records.append(decode(whole, offset + RAW, size - RAW))
                except RecordError:
                    self.undecodable += 1
        finally:
            if at != start:
                if not STRONG_ORDER:
                    self._fence()
                page[TAIL] = at
        return limit

    def _broken(self, buffer: _Buffer, at: int, end: int) -> ObjectError:
        return ObjectError(
            f"perf buffer `{printable(self.name)}` of CPU {buffer.cpu}: broken between {at} and {end}: expected "
            f"records of whole words, and at most {self.size} bytes"
        )


def _take_out(array: Map, key: bytes) -> None:
    """The map holds the event: without this, the kernel would go on writing for nobody."""
    try:
        sys_maps.delete(array.fileno(), array.name, key)
    except ValueError:
        pass  # the map was closed before its reader
