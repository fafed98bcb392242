"""Reading a BPF ring buffer.

The kernel appends records; we read them in place and then say how far we got. Two positions that only
grow say who owns what: `producer` is moved by the kernel, `consumer` by us, and both are taken modulo
the size. Each record begins with a header of eight bytes, whose first word holds its length, a busy bit
(reserved, not yet submitted) and a discard bit. The data pages are mapped twice in a row, so that a
record is always contiguous.

Order of memory. What the kernel does to send a record, and what we do to read it::

    kernel                                       we
    K1 header = length | BUSY                    W1 load producer
    K2 producer = end        (store-release)     W2 load header: below producer, not BUSY
    K3 write the data                            W3 load the data
    K4 header = length       (xchg)              W4 consumer = end
    K5 load consumer: is it this record's        W5 epoll_wait: load producer
       position? then wake

Four pairs have to keep their order on our side, each against its partner in the kernel:

- W1 before W2 (load, load; against K1, K2). Otherwise the header may be what a record of the last lap
  left there: an old length, not busy.
- W2 before W3 (load, load; against K3, K4). Otherwise the data may be older than the header that says
  they are complete.
- W3 before W4 (load, store). Otherwise the kernel, which loads consumer with acquire before it reserves,
  writes the next lap over what we still read.
- W4 before W5 (store, load; against K2, K5, which the full barrier of K4's xchg keeps apart). Then at
  least one side sees the other's position: epoll finds the record, or the kernel finds that we wait for
  it. This is why epoll has to be level-triggered: only then is the position looked at again before
  sleeping, and an item leaves epoll's ready list only after that look found nothing. It also makes K5's
  "wake only who has read all before" safe for a position that we store once a batch.

Python has no fences, so:

- x86-64 (and s390x) reorder no loads with loads and no stores with older loads: W1 to W4 are in order when
  each is one aligned load or store, which ``memoryview.cast`` gives (one memcpy of 4 or 8 bytes), and the
  compiler cannot mix them, as they are calls of the interpreter. W4 and W5 could pass each other, but for
  the locked instructions with which epoll_wait takes its locks in between.
- arm64 and all others may reorder each pair. A lock that is held all the time gets released, and acquired
  again. (Acquired and released would not do: both neighbours may move inwards, and meet.) Released, then
  acquired, nothing passes: what is before stays before the release, what is after stays after the acquire,
  and these two keep their order (an atomic with release semantics before one with acquire semantics:
  STLXR and LDAXR, or LDADDL and CASA, on arm64; on POWER the lwsync of the release orders the loads by
  itself, and so W4 and W5 are left to the kernel's locks). To pay this once a batch and not once a record,
  the headers are walked first up to the first busy one (W2), then comes the barrier, then the data (W3).

Invariants:

- The consumer position is stored once a batch, behind the last record that was decoded. A record's memory
  is ours until then, so decoding copies.
- A batch ends at a busy record. The position then stands exactly at it, so that the kernel notifies when it
  gets submitted.
- Nobody but one reader moves the consumer position. Positions that cannot be (behind each other, further
  apart than the size) are an error, not an endless loop.

Source: kernel/bpf/ringbuf.c (__bpf_ringbuf_reserve, bpf_ringbuf_commit, ringbuf_map_poll_kern);
Documentation/bpf/ringbuf.rst; fs/eventpoll.c (ep_send_events). Kernel: 5.8, 457f44363a88.
"""

from __future__ import annotations

import mmap
import os
import select
import threading
from collections.abc import Iterable
from itertools import compress
from typing import Callable

from pybpfload._sys import maps as sys_maps
from pybpfload._sys.memory import map_shared
from pybpfload.errors import ObjectError, RecordError, printable
from pybpfload.events import Decode, EventReader, T
from pybpfload.maps import Map
from pybpfload.uapi import MapType

__all__ = ["STRONG_ORDER", "Fence", "RingReader"]

BUSY = 1 << 31
DISCARD = 1 << 30
LENGTH = DISCARD - 1
HEADER = 8
RB_OVERWRITE = 1 << 19
STRONG_ORDER = os.uname().machine in ("x86_64", "i686", "s390x")
RUN_START, RUN_MAX = 16, 4096  # records of one length that are taken at once


class Fence:
    """A full barrier between the loads and stores before a call and those after it; see the module's head."""

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self._release, self._acquire = lock.release, lock.acquire

    def __call__(self) -> None:
        """The barrier."""
        self._release()
        self._acquire()


class RingReader(EventReader[T]):
    """Reads and decodes the records of one ring buffer. For what it can do, see `EventReader`.

    Args:
        ring: stays the caller's, who closes it after the reader.
        decode: what `RecordLayout.reader` gives, which is fastest, or any function that is called with
            (buffer, offset, size) of each record; the buffer is only good during the call. RecordError counts
            the record as undecodable, and reading goes on.
        lost: how many records the program could not store, if it counts them: the kernel does not.

    Raises:
        ObjectError: the map is no ring buffer, or one whose records the kernel overwrites.
        SyscallError: it cannot be mapped.
    """

    def __init__(self, ring: Map, decode: Decode[T], *, lost: Callable[[], int] | None = None) -> None:
        where = f"map `{printable(ring.name)}`"
        if ring.type is not MapType.RINGBUF:
            raise ObjectError(f"{where} is {ring.type.name}, expected RINGBUF")
        if sys_maps.info(ring.fileno()).map_flags & RB_OVERWRITE:
            raise ObjectError(f"{where} has BPF_F_RB_OVERWRITE: its records may change while they are read")
        super().__init__(ring.name, decode, lost)
        self.size = ring.max_entries
        self._mask = self.size - 1
        self._fence = Fence()
        self._run = RUN_START
        try:
            page, what = mmap.PAGESIZE, f"ring buffer {printable(ring.name)}"
            positions = map_shared(ring.fileno(), page, what, write=True)
            self._keep(positions)
            records = map_shared(ring.fileno(), page + 2 * self.size, what, offset=page)
            self._keep(records)
            ours, theirs = memoryview(positions), memoryview(records)
            self._consumer = ours[:8].cast("Q")
            self._producer = theirs[:8].cast("Q")
            self._data = theirs[page:]
            self._headers = self._data.cast("I")
            self._keep(ours, theirs, self._data, self._headers, self._consumer, self._producer)
            self._epoll.register(ring.fileno(), select.EPOLLIN)
        except BaseException:
            self._resources.close()
            raise

    def _pending(self) -> int:
        return self._producer[0] - self._consumer[0]

    def _drain(self, records: list[T], limit: int) -> None:
        start = at = self._consumer[0]
        end = self._producer[0]
        self._stuck = False
        if at == end:
            return
        if not 0 < end - at <= self.size or at & 7:
            raise ObjectError(
                f"ring buffer `{printable(self.name)}`: consumer at {at}, producer at {end}, "
                f"expected at most {self.size} between them"
            )
        if not STRONG_ORDER:
            end = self._committed(at, end)
        headers, data, mask, decode = self._headers, self._data, self._mask, self._decode
        many = self._many
        append, before = records.append, len(records)
        one_by_one = 0  # up to this position, for a record there was refused
        try:
            while at < end and limit > 0:
                place = at & mask
                word = headers[place >> 2]
                if word & BUSY:
                    self._stuck = True
                    break
                length = word & LENGTH
                stride = length + HEADER + 7 & ~7
                if (
                    many is not None
                    and at >= one_by_one
                    and word == length >= many.min_size
                    and at + stride < end
                    and headers[(place + stride) >> 2] & ~DISCARD == length
                ):
                    words = self._equals(place, length, stride, min((end - at) // stride, limit))
                    count = len(words)
                    try:
                        found = many.read_many(data, place, count, stride=stride, size=length, skip=HEADER)
                    except Exception:  # noqa: BLE001
                        # Find out which it was: it is raised once more.
                        one_by_one = at + count * stride
                        continue
                    taken = words.count(length)
                    records += found if taken == count else _plain(found, words, length)
                    self.discarded += count - taken
                    at += count * stride
                    limit -= count
                    continue
                at += stride
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
                    self._fence()
                self._consumer[0] = at
                if not STRONG_ORDER:
                    self._fence()
            self.received += len(records) - before

    def _equals(self, place: int, length: int, stride: int, limit: int) -> list[int]:
        """The headers of the records of one length that begin at a place, discarded ones too.

        Each header is only where it seems to be if all before it have that length, so the list ends at the first
        that is another. As the length of such runs is unknown, this looks at few at first, and then at more.
        """
        count = min(limit, self._run)
        words = self._headers[place >> 2 : (place + count * stride) >> 2 : stride >> 2].tolist()
        if words.count(length) != count:
            other = length | DISCARD
            end = next((i for i, word in enumerate(words) if word not in (length, other)), count)
            if end < count:
                self._run = RUN_START
                return words[:end]
        self._run = min(2 * self._run, RUN_MAX)
        return words

    def _committed(self, at: int, end: int) -> int:
        """Where the records end that are complete. Their data may be read after this."""
        self._fence()
        headers, mask = self._headers, self._mask
        while at < end:
            word = headers[(at & mask) >> 2]
            if word & BUSY:
                self._stuck = True
                break
            at += (word & LENGTH) + HEADER + 7 & ~7
        self._fence()
        return at


def _plain(found: list[T], words: list[int], length: int) -> Iterable[T]:
    return compress(found, [word == length for word in words])
