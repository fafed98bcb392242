"""What the readers of ring buffers and of perf buffers have in common: waiting, iterating, counting, closing.

A reader hands out decoded records in order. Each way to get them takes from the same queue, so that they
can be mixed: ``read()`` takes what is there, ``poll()`` waits for the first, ``for`` waits for ever,
``async for`` lets other tasks run meanwhile, ``run()`` calls back.

Closing. `close()` may come from any thread, also while another waits or decodes, and from a decoder. The
memory of the records and the descriptors go when nobody is inside any more; who waits is woken through an
eventfd that the epoll descriptor watches too. So that epoll descriptor is also what `fileno()` gives:
whoever waits for it wakes when there are records, and when the reader is closed.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Callable, Generic, NamedTuple, TypeVar, Union

from pybpfload._sys.fd import Fd
from pybpfload.btf.record import RecordReader
from pybpfload.errors import printable

if TYPE_CHECKING:
    import asyncio

__all__ = ["MANY", "Decode", "EventReader", "ReaderStats", "give_up", "wake_pair"]

T = TypeVar("T")
Self = TypeVar("Self", bound="EventReader[Any]")
Decode = Union[Callable[[memoryview, int, int], T], RecordReader[T]]

MANY = 1 << 30
# Records that iterating decodes ahead. So few new objects at once hardly ever set off the garbage collector, which
# would look at each of them several times: batches of 4096 take nearly twice the time for each record.
BATCH = 256
BUSY_S = 0.001  # how long to leave a record alone that its program has reserved, but not sent yet


class ReaderStats(NamedTuple):
    """What has become of records so far.

    Attributes:
        received: decoded.
        discarded: taken back by the program.
        undecodable: refused by the decoder.
        lost: never stored, because there was no room; 0 where nobody counts them.
        pending: bytes that wait to be read.
    """

    received: int
    discarded: int
    undecodable: int
    lost: int
    pending: int


def wake_pair() -> tuple[Fd, Fd]:
    """Two descriptors (or one, twice): what is written to the second makes the first readable."""
    eventfd = getattr(os, "eventfd", None)  # Python 3.10
    if eventfd:
        one = Fd(eventfd(0, os.O_CLOEXEC | os.O_NONBLOCK), "eventfd of a reader")
        return one, one
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    return Fd(ends[0], "pipe of a reader"), Fd(ends[1], "pipe of a reader")


class EventReader(Generic[T]):
    """Reads and decodes the records of one buffer: a `RingReader` or a `PerfReader`.

    Attributes:
        name: of the map.
        size: of the buffer in bytes (of one CPU's).
        received: records that were decoded.
        discarded: records that the program took back.
        undecodable: records that the decoder refused.
    """

    name: str
    size: int

    def __init__(self, name: str, decode: Decode[T], lost: Callable[[], int] | None) -> None:
        self.name = name
        self.received = self.discarded = self.undecodable = 0
        self._many = decode if isinstance(decode, RecordReader) and decode.batched else None
        self._decode: Callable[[memoryview, int, int], T]
        self._decode = decode.read if isinstance(decode, RecordReader) else decode
        self._count_lost = lost
        self._ready: deque[T] = deque()
        self._stuck = False  # the next record is busy
        self._closed = False
        self._inside: list[int] = []  # threads that use the buffer just now
        self._state = threading.Condition()
        self._draining = threading.RLock()
        self._drains = False
        self._resources = ExitStack()
        self._epoll = self._resources.enter_context(select.epoll())
        try:
            reads, writes = wake_pair()
            self._resources.callback(writes.close)
            self._resources.callback(reads.close)
            self._epoll.register(reads.fileno(), select.EPOLLIN)
            self._wake = writes
        except BaseException:
            self._resources.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {printable(self.name)}{' closed' if self._closed else ''}>"

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What the kinds of buffers do themselves.

    def _drain(self, records: list[T], limit: int) -> None:
        """Append the records that are there, at most `limit`; also sets `_stuck`."""
        raise NotImplementedError

    def _pending(self) -> int:
        raise NotImplementedError

    def _lost(self) -> int:
        return 0

    # Counters.

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def pending(self) -> int:
        """Bytes that wait to be read, headers included; 0 once it is closed."""
        if not self._enter():
            return 0
        try:
            return self._pending()
        finally:
            self._leave()

    @property
    def lost(self) -> int:
        """Records that found no room. A ring buffer does not count them: its program has to (see docs/readers.md)."""
        if self._count_lost is not None:
            return self._count_lost()
        return self._lost()

    def stats(self) -> ReaderStats:
        """All counters at once."""
        return ReaderStats(self.received, self.discarded, self.undecodable, self.lost, self.pending)

    # Reading.

    def read(self, max_records: int = MANY) -> list[T]:
        """The records that are there now, at most `max_records`. Never waits.

        An error of the decoder other than RecordError is passed on. Its record is not read again; those before
        it come with the next call.

        Raises:
            ValueError: the reader is closed.
        """
        if not self._enter():
            raise ValueError(f"reader of `{printable(self.name)}` is closed")
        records: list[T] = []
        try:
            with self._draining:
                if self._drains:
                    raise RuntimeError(f"reader of `{printable(self.name)}`: a decoder cannot read")
                self._drains = True
                try:
                    ready = self._ready
                    while ready and len(records) < max_records:
                        records.append(ready.popleft())
                    if len(records) < max_records:
                        self._drain(records, max_records - len(records))
                except BaseException:
                    self._ready.extendleft(reversed(records))
                    raise
                finally:
                    self._drains = False
        finally:
            self._leave()
        return records

    def poll(self, timeout_s: float | None = 0.0, max_records: int = MANY) -> list[T]:
        """The next records, at most `max_records`; waits for the first at most `timeout_s` seconds.

        None waits for ever. When the reader gets closed meanwhile, it ends with none.

        Raises:
            ValueError: the reader is closed already.
        """
        records = self.read(max_records)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not records:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            if not self._enter():
                break
            try:
                self._wait(left)
            finally:
                self._leave()
            # Also after the timeout: a program may send without waking anybody.
            try:
                records = self.read(max_records)
            except ValueError:
                if self._closed:
                    break
                raise
        return records

    def _wait(self, timeout_s: float | None) -> None:
        if self._stuck:
            # epoll would return at once: to it, a busy record is data.
            time.sleep(BUSY_S if timeout_s is None else min(BUSY_S, timeout_s))
        else:
            self._epoll.poll(timeout_s, 1)

    def __iter__(self) -> Iterator[T]:
        """Each record, for ever: waits for the next, and ends when the reader is closed.

        Leaving the loop loses nothing: what was decoded ahead comes with the next call of any kind.
        """
        ready = self._ready
        while True:
            while ready:
                try:
                    record = ready.popleft()
                except IndexError:  # another thread was faster
                    break
                yield record
            if self._closed:
                return
            self._fetch(None)

    def _fetch(self, timeout_s: float | None) -> bool:
        """Decode a batch ahead; False when it is closed, or there was none in time."""
        if self._closed:
            return False
        try:
            batch = self.poll(timeout_s, BATCH)
        except ValueError:
            if self.closed:
                return False
            raise
        self._ready.extend(batch)
        return bool(batch)

    async def __aiter__(self) -> AsyncIterator[T]:
        """As `__iter__`, in an event loop: other tasks run meanwhile."""
        import asyncio

        ready = self._ready
        while True:
            while ready:
                yield ready.popleft()
            if self._closed:
                return
            if self._fetch(0):
                await asyncio.sleep(0)  # a flood of records must not starve the other tasks
            elif self._stuck:
                await asyncio.sleep(BUSY_S)
            elif self._enter():
                try:
                    await _readable(self._epoll.fileno())
                finally:
                    self._leave()

    def run(self, callback: Callable[[T], object], timeout_s: float | None = None) -> int:
        """Call back with each record, until the reader is closed or the time is over; returns how many there were."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        count, ready = 0, self._ready
        while True:
            while ready:
                record = ready.popleft()
                count += 1
                callback(record)
                if self._closed or (deadline is not None and time.monotonic() >= deadline):
                    return count
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._fetch(left) and (self._closed or left is not None):
                return count

    def fileno(self) -> int:
        """A descriptor that is readable when there are records: for select, poll and event loops.

        Raises:
            ValueError: the reader is closed.
        """
        return self._epoll.fileno()

    # Closing.

    def _enter(self) -> bool:
        with self._state:
            # First, for a signal handler may close it between any two lines.
            self._inside.append(threading.get_ident())
            if not self._closed:
                return True
        self._leave()
        return False

    def _leave(self) -> None:
        with self._state:
            self._inside.remove(threading.get_ident())
            if self._closed and not self._inside:
                self._free()

    def close(self) -> None:
        """Wake who waits, and give the buffer up. Records that were not read stay with the map.

        Returns when all is given up, unless this very thread is still inside: then that happens on the way out.
        Closing twice does nothing.
        """
        with self._state:
            if not self._closed:
                self._closed = True
                os.write(self._wake.fileno(), (1).to_bytes(8, sys.byteorder))
                if not self._inside:
                    self._free()
            while self._inside and threading.get_ident() not in self._inside:
                self._state.wait()

    def _free(self) -> None:
        self._resources.close()
        self._state.notify_all()

    def _keep(self, *memory: Any) -> None:
        """Give up mappings, or views of them, when the reader is closed."""
        for each in memory:
            self._resources.callback(give_up, each.release if isinstance(each, memoryview) else each.close)


def give_up(close: Callable[[], None]) -> None:
    """Close a mapping or release a view of one."""
    try:
        close()
    except BufferError:
        pass  # somebody kept a part of the buffer, as a traceback does: it goes with that


async def _readable(number: int) -> None:
    """Wait until a descriptor is readable."""
    import asyncio

    loop = asyncio.get_running_loop()
    # A loop takes a descriptor once, and several tasks may wait.
    own = Fd(os.dup(number), "waiting reader")
    try:
        future = loop.create_future()
        loop.add_reader(own.fileno(), _set, future)
        try:
            await future
        finally:
            loop.remove_reader(own.fileno())
    finally:
        own.close()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
