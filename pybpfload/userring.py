"""Writing to a user ring buffer: from here to a program, which drains it with bpf_user_ringbuf_drain().

It is a ring buffer with the parts exchanged: we move `producer`, the kernel `consumer`, and the data pages
are ours to write. A sample is reserved (a header with its length and a busy bit, then `producer` behind it),
written, and submitted: the busy bit goes. Samples may be submitted in another order than they were reserved;
the kernel stops at the first busy one.

Order of memory, against the kernel, which loads `producer`, then the header, then the data, each with
acquire, and stores `consumer` with release when a sample is used up:

- `consumer` is loaded before the sample's memory is written (load, store): it was the last lap's until then.
- The header is stored before `producer` (store, store), or the kernel would see what was there before.
- The data are stored before the busy bit goes (store, store).

x86-64 keeps all three by itself; elsewhere a `Fence` stands between (see `pybpfload.ringbuf`). libbpf clears
the busy bit with an exchange; what that adds, order against later loads, nothing here needs: a sample that
the kernel sees late is drained the next time.

Waiting for room. The kernel raises EPOLLOUT once for each drain that used up samples. As a level, "writable"
means only that some byte is free, so epoll is edge-triggered here: one try to reserve, then wait for the
next drain, then one try again. A drain between the two is not missed: it has set the edge.

Source: kernel/bpf/ringbuf.c (__bpf_user_ringbuf_peek, bpf_user_ringbuf_drain), user_ring_buffer__reserve() in
libbpf. Kernel: 6.1, 205715673844.
"""

from __future__ import annotations

import mmap
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pybpfload._sys.memory import map_shared
from pybpfload.btf.codec import Codec
from pybpfload.errors import ObjectError, RecordError, printable
from pybpfload.events import give_up, wake_pair
from pybpfload.maps import Map
from pybpfload.ringbuf import BUSY, DISCARD, HEADER, LENGTH, STRONG_ORDER, Fence
from pybpfload.uapi import MapType

__all__ = ["Sample", "UserRing"]


class Sample:
    """Reserved memory of a user ring buffer: write to it, then submit or discard it.

    Attributes:
        memory: writable; gone once the sample is submitted or discarded.
    """

    def __init__(self, ring: UserRing, place: int, size: int) -> None:
        self._ring, self._place, self._size = ring, place, size
        self.memory = ring._data[place + HEADER : place + HEADER + size]

    def submit(self) -> None:
        """Let the kernel have it. The memory can no longer be used.

        Raises:
            ValueError: it was submitted or discarded already.
        """
        self._finish(0)

    def discard(self) -> None:
        """Let the kernel skip it.

        Raises:
            ValueError: it was submitted or discarded already.
        """
        self._finish(DISCARD)

    @property
    def open(self) -> bool:
        """Whether it waits to be submitted or discarded."""
        return self._size >= 0

    def _finish(self, flag: int) -> None:
        with self._ring._lock:
            if self._size < 0:
                raise ValueError("sample was submitted or discarded already")
            self.memory.release()
            size, self._size = self._size, -1
            self._ring._finish(self, self._place, size | flag)


class UserRing:
    """Sends samples to a program. Any thread may send.

    Args:
        ring: stays the caller's, who closes it after this.
        codec: of what `send` takes; bytes are taken as they are.

    Attributes:
        size: in bytes.
        sent: samples submitted by `send`.

    Raises:
        ObjectError: the map is no user ring buffer.
        SyscallError: it cannot be mapped.
    """

    def __init__(self, ring: Map, codec: Codec | None = None) -> None:
        if ring.type is not MapType.USER_RINGBUF:
            raise ObjectError(f"map `{printable(ring.name)}` is {ring.type.name}, expected USER_RINGBUF")
        self.name, self.size, self.sent = ring.name, ring.max_entries, 0
        self._codec = codec
        self._fence = Fence()
        self._lock = threading.RLock()
        self._mask = self.size - 1
        self._turn = threading.RLock()  # of waiting: an edge wakes only one
        self._open: set[Sample] = set()
        self._closed = False
        self._resources = ExitStack()
        page, what = mmap.PAGESIZE, f"user ring buffer {printable(ring.name)}"
        try:
            theirs = map_shared(ring.fileno(), page, what)
            self._resources.callback(give_up, theirs.close)
            ours = map_shared(ring.fileno(), page + 2 * self.size, what, offset=page, write=True)
            self._resources.callback(give_up, ours.close)
            whole = memoryview(ours)
            self._consumer = memoryview(theirs)[:8].cast("Q")
            self._producer = whole[:8].cast("Q")
            self._data = whole[page:]
            self._headers = self._data.cast("I")
            for view in (whole, self._data, self._producer, self._headers, self._consumer):
                self._resources.callback(give_up, view.release)
            self._epoll = self._resources.enter_context(select.epoll())
            self._epoll.register(ring.fileno(), select.EPOLLOUT | select.EPOLLET)
            reads, self._wake = wake_pair()
            self._resources.callback(self._wake.close)
            self._resources.callback(reads.close)
            self._epoll.register(reads.fileno(), select.EPOLLIN)
        except BaseException:
            self._resources.close()
            raise

    def __repr__(self) -> str:
        return f"<UserRing {printable(self.name)}{' closed' if self._closed else ''}>"

    def __enter__(self) -> UserRing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that becomes readable when a program has drained samples."""
        return self._epoll.fileno()

    @property
    def pending(self) -> int:
        """Bytes that the program has still to drain, headers included; 0 once it is closed."""
        with self._lock:
            return 0 if self._closed else self._producer[0] - self._consumer[0]

    def reserve(self, size: int, timeout_s: float | None = 0.0) -> Sample | None:
        """Room for a sample; None when there is none, even after waiting. None as timeout waits for ever.

        Whoever reserves has to submit or discard it: the program gets nothing that comes after a reserved one.

        Raises:
            RecordError: the sample would not fit into an empty buffer.
            ValueError: it is closed.
        """
        total = size + HEADER + 7 & ~7
        if not 0 <= size <= LENGTH or total > self.size:
            raise RecordError(f"sample of {size} bytes: expected at most {self.size - HEADER}")
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        sample = self._try(size, total)
        if sample is not None or timeout_s == 0:
            return sample
        if not self._turn.acquire(timeout=-1 if timeout_s is None else timeout_s):
            return None
        try:
            while True:
                sample = self._try(size, total)
                left = -1.0 if deadline is None else deadline - time.monotonic()
                if sample is not None or (deadline is not None and left <= 0):
                    return sample
                self._epoll.poll(left, 1)
        finally:
            self._turn.release()

    def _try(self, size: int, total: int) -> Sample | None:
        with self._lock:
            if self._closed:
                raise ValueError(f"user ring buffer `{printable(self.name)}` is closed")
            at = self._producer[0]
            if self.size - (at - self._consumer[0]) < total:
                return None
            if not STRONG_ORDER:
                self._fence()
            place = at & self._mask
            self._headers[(place >> 2) + 1] = 0
            self._headers[place >> 2] = size | BUSY
            if not STRONG_ORDER:
                self._fence()
            self._producer[0] = at + total
            sample = Sample(self, place, size)
            self._open.add(sample)
            return sample

    def _finish(self, sample: Sample, place: int, word: int) -> None:
        self._open.remove(sample)
        if not STRONG_ORDER:
            self._fence()
        self._headers[place >> 2] = word

    @contextmanager
    def sample(self, size: int, timeout_s: float | None = None) -> Iterator[memoryview]:
        """Memory to write a sample to, in a ``with`` block: submitted at its end, discarded on an exception.

        Raises:
            BlockingIOError: there is no room, even after waiting.
        """
        sample = self.reserve(size, timeout_s)
        if sample is None:
            raise BlockingIOError(f"user ring buffer `{printable(self.name)}`: no room for {size} bytes")
        try:
            yield sample.memory
        except BaseException:
            if sample.open:
                sample.discard()
            raise
        sample.submit()

    def send(self, value: Any, timeout_s: float | None = 0.0) -> bool:
        """Send one sample; False when there is no room, even after waiting.

        Raises:
            RecordError: the value does not fit its type, or the buffer.
        """
        raw = isinstance(value, (bytes, bytearray, memoryview))
        if self._codec is None and not raw:
            raise RecordError(f"user ring buffer `{printable(self.name)}`: no type is known: expected bytes")
        data = bytes(value) if raw or self._codec is None else self._codec.pack_value(value)
        sample = self.reserve(len(data), timeout_s)
        if sample is None:
            return False
        sample.memory[:] = data
        sample.submit()
        self.sent += 1
        return True

    def close(self) -> None:
        """Unmap it; who waits for room is woken, and gets ValueError. Closing twice does nothing.

        Samples that were submitted stay for the program; those that are still reserved are discarded.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for sample in list(self._open):
                sample.discard()
            os.write(self._wake.fileno(), (1).to_bytes(8, sys.byteorder))
        with self._turn, self._lock:
            self._resources.close()
