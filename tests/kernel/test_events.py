"""What both kinds of buffers do alike, from one C source; and which kind it is."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import select
import signal
import threading
import time

import pytest

import pybpfload
from pybpfload import features
from pybpfload._sys import syscall
from pybpfload.errors import ObjectError, SyscallError
from pybpfload.uapi import MapType
from tests.support.readers import attached, one_cpu, send

pytestmark = pytest.mark.kernel
DEADLINE_S = 20.0


@pytest.fixture(params=[True, False], ids=["ring buffer", "perf buffer"])
def obj(request):
    """buffers.bpf.c: one record for each getpgid."""
    with one_cpu(0), attached("buffers", events__ringbuf=request.param) as loaded:
        yield loaded


def numbers(records) -> list[int]:
    return [record.number for record in records]


class Worker(threading.Thread):
    """Runs a function; `finish` waits for it, and raises what it raised."""

    def __init__(self, function) -> None:
        super().__init__(daemon=True)
        self.function, self.result, self.error = function, None, None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.function()
        except Exception as error:  # noqa: BLE001
            self.error = error

    def finish(self):
        self.join(DEADLINE_S)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self.result


def until(condition) -> None:
    """Poll for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waits(worker: Worker) -> bool:
    """Whether a thread sleeps in epoll_wait(2), as the kernel sees it."""
    with open(f"/proc/self/task/{worker.native_id}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def test_events_picks_the_reader_by_the_map():
    """The same source, the same records, the same counters."""
    seen = []
    for kind in (True, False):
        with attached("buffers", events__ringbuf=kind) as obj, one_cpu(0), obj.events("events") as reader:
            send(7)
            seen.append((numbers(reader.poll(5.0)), reader.stats(), obj.maps["events"].type, type(reader)))
    assert [each[:2] for each in seen] == [(list(range(7)), (7, 0, 0, 0, 0))] * 2
    assert [each[2:] for each in seen] == [
        (MapType.RINGBUF, pybpfload.RingReader), (MapType.PERF_EVENT_ARRAY, pybpfload.PerfReader),
    ]  # fmt: skip


@pytest.fixture
def no_ring_buffers(monkeypatch):
    """A kernel before 5.8: BPF_MAP_CREATE of a ring buffer is EINVAL."""
    real = syscall.door

    def older(number, *arguments):
        if number == syscall.numbers().bpf and arguments[0] == 0 and arguments[1]._obj.map_type == MapType.RINGBUF:
            return -errno.EINVAL
        return real(number, *arguments)

    monkeypatch.setattr(syscall, "door", older)
    features.has.cache_clear()
    yield
    features.has.cache_clear()


def test_events_on_a_kernel_without_ring_buffers_come_by_perf_buffer(no_ring_buffers):
    """The object is the same, nobody was asked, and no record is missing."""
    with attached("buffers", targ_repeat=101) as obj, one_cpu(0), obj.events("events") as reader:
        assert obj.variables["events__ringbuf"] is False
        send(7)
        assert numbers(reader.poll(5.0)) == list(range(707))


def test_events_spec_type_set_to_perf_is_followed_by_the_programs(obj):
    """Who changes the map's type by hand gets the right calls, too."""
    spec = pybpfload.read_object(obj.spec.source)
    spec.maps["events"].type = MapType.PERF_EVENT_ARRAY
    spec.maps["events"].key_size = spec.maps["events"].value_size = 4
    spec.maps["events"].max_entries = 0
    with pybpfload.load(spec) as other:
        assert other.variables["events__ringbuf"] is False


def test_events_of_a_shared_map_are_sent_as_it_wants(obj):
    """A second object that uses the first one's buffer, whatever it is."""
    spec = pybpfload.read_object(obj.spec.source)
    spec.variables["targ_tgid"] = os.getpid()
    shared = {"events": obj.maps["events"]}
    with pybpfload.load(spec, maps=shared) as other, other.attach_all(), obj.events("events") as reader:
        send(3)
        assert len(reader.poll(5.0) + reader.read()) == 6


def test_events_of_no_such_map_is_refused(obj):
    """Says which there are."""
    with pytest.raises(ObjectError, match=r"no map `event`; there are .*events"):
        obj.events("event")
    with pytest.raises(ObjectError, match="map `events__lost` is PERCPU_ARRAY, expected RINGBUF or PERF_EVENT_ARRAY"):
        obj.events("events__lost")


def test_events_overload_adds_up(obj):
    """A million bytes too many: sent is received and lost, in both kinds."""
    with obj.events("events", **({} if obj.variables["events__ringbuf"] else {"size": 1 << 16})) as reader:
        send(9973)
        records = reader.read()
        stats = reader.stats()
    assert (stats.received, stats.pending) == (len(records), 0)
    assert stats.received + stats.lost == 9973 == obj.variables["sent"]
    assert stats.lost > 5000
    assert numbers(records) == list(range(len(records)))


def test_events_iterate_until_closed_from_another_thread(obj):
    """The loop waits, gets every record once, and ends; nothing is left behind by then."""
    reader = obj.events("events")
    worker = Worker(lambda: numbers(reader))
    for total in range(101, 1112, 101):
        send(101)
        until(lambda total=total: reader.received == total and waits(worker))
    reader.close()
    assert worker.finish() == list(range(1111))


@pytest.mark.parametrize("timeout_s", [None, 1000.0])
def test_events_close_wakes_a_blocked_poll(obj, timeout_s):
    """It returns no records; the next call says that the reader is closed."""
    reader = obj.events("events")
    worker = Worker(lambda: reader.poll(timeout_s))
    until(lambda: waits(worker) and reader._inside)
    reader.close()
    assert worker.finish() == []
    assert reader.closed
    with pytest.raises(ValueError, match="reader of `events` is closed"):
        reader.read()
    assert reader.stats() == (0, 0, 0, 0, 0)


def test_events_close_wakes_many_blocked_threads(obj):
    """All of them, whatever they wait in."""
    reader = obj.events("events")
    workers = [Worker(lambda: reader.poll(None)), Worker(lambda: list(reader)), Worker(lambda: reader.run(print))]
    until(lambda: len(reader._inside) == 3 and all(map(waits, workers)))
    reader.close()
    assert [worker.finish() for worker in workers] == [[], [], 0]


def test_events_close_waits_for_a_decoder(obj):
    """The memory of a record that is being decoded stays until that is done."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(buffer, offset, size):
        inside.set()
        assert go_on.wait(DEADLINE_S)
        return bytes(buffer[offset : offset + 8])

    reader = obj.events("events", decode=slow)
    send(1)
    worker = Worker(reader.read)
    assert inside.wait(DEADLINE_S)
    closer = Worker(reader.close)
    until(lambda: reader.closed)
    assert closer.is_alive()
    go_on.set()
    closer.finish()
    assert worker.finish() == [bytes(8)]


def test_events_close_from_a_decoder_and_a_callback(obj):
    """The very thread that reads may close: that takes effect on the way out."""
    reader = obj.events("events", decode=lambda *_: reader.close())
    send(3)
    assert reader.read() == [None] * 3
    with pytest.raises(ValueError, match="closed"):
        reader.fileno()
    other = obj.events("events")
    send(3)
    assert other.run(lambda _: other.close()) == 1


def test_events_read_from_a_decoder_is_refused(obj):
    """It would read the record that is being decoded."""
    with obj.events("events", decode=lambda *_: reader.read()) as reader:
        send(1)
        with pytest.raises(RuntimeError, match="decoder cannot read"):
            reader.read()


def test_events_closed_twice_is_fine(obj):
    """Also when a part of the buffer is still held."""
    kept = []
    reader = obj.events("events", decode=lambda buffer, offset, size: kept.append(buffer[offset : offset + size]))
    send(1)
    reader.read()
    reader.close()
    reader.close()
    assert reader.closed
    kept.clear()


def test_events_leaving_a_loop_loses_nothing(obj):
    """What was decoded ahead comes next, whichever way one asks."""
    with obj.events("events") as reader:
        send(30)
        first = []
        for event in reader:
            first.append(event)
            if len(first) == 7:
                break
        second = reader.read(5)
        third = [next(iter(reader)), next(iter(reader))]
        fourth = []
        reader.run(fourth.append, timeout_s=0)
        assert numbers(first + second + third + fourth + reader.poll(0)) == list(range(30))
        assert reader.received == 30


def test_events_run_calls_back_for_a_while(obj):
    """With each record, in order; returns how many."""
    got = []
    with obj.events("events") as reader:
        send(11)
        assert reader.run(got.append, timeout_s=0.05) == 11
    assert numbers(got) == list(range(11))


def test_events_async_for_lets_others_run(obj):
    """A task reads while another one sends; leaving the loop leaves nothing behind."""

    async def read(reader, count):
        got = []
        async for event in reader:
            got.append(event.number)
            if len(got) == count:
                return got
        return got

    async def main():
        with obj.events("events") as reader:
            task = asyncio.ensure_future(read(reader, 211))
            for _ in range(211):
                send(1)
                await asyncio.sleep(0)
            return await asyncio.wait_for(task, DEADLINE_S)

    assert asyncio.run(main()) == list(range(211))


def test_events_async_for_ends_when_closed(obj):
    """Closed by another task, by another thread, and cancelled while it waits."""

    async def collect(reader):
        return [event.number async for event in reader]

    async def main(how):
        reader = obj.events("events")
        tasks = [asyncio.ensure_future(collect(reader)) for _ in range(2)]
        while len(reader._inside) < 2:
            await asyncio.sleep(0.001)
        if how == "cancel":
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        closer = threading.Thread(target=reader.close)
        if how == "task":
            reader.close()
        closer.start()
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_S)
        closer.join(DEADLINE_S)
        assert not closer.is_alive()
        return ended

    assert asyncio.run(main("task")) == [[], []]
    assert asyncio.run(main("thread")) == [[], []]
    assert [type(each) for each in asyncio.run(main("cancel"))] == [asyncio.CancelledError] * 2


def test_events_fileno_serves_an_event_loop(obj):
    """add_reader() with the reader itself, and a bounded batch a call."""
    got = []

    async def main():
        loop = asyncio.get_running_loop()
        with obj.events("events") as reader:
            done = loop.create_future()

            def readable():
                got.extend(reader.read(10))
                if len(got) >= 101 and not done.done():
                    done.set_result(None)

            loop.add_reader(reader, readable)
            send(101)
            await asyncio.wait_for(done, DEADLINE_S)
            loop.remove_reader(reader)

    asyncio.run(main())
    assert numbers(got) == list(range(101))


def test_events_interrupted_wait_leaves_nothing(obj):
    """Ctrl-C in a waiting loop: the exception comes out, and the reader closes."""

    def interrupts(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupts)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt), obj.events("events") as reader:
            list(reader)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert reader.closed


def test_events_interrupt_in_a_converter_loses_no_record(obj):
    """And the traceback, which knows the record's memory, does not keep the buffer from being closed."""
    interrupted = []

    def once(number):
        if number == 5 and not interrupted:
            interrupted.append(number)
            raise KeyboardInterrupt
        return number

    def reads():
        with obj.events("events", convert={"number": once}) as reader:
            send(11)
            with pytest.raises(KeyboardInterrupt):
                reader.read()
            assert numbers(reader.read()) == list(range(11))
            interrupted.clear()
            send(11)
            reader.run(lambda event: once(event.number - 11), timeout_s=5.0)

    with pytest.raises(KeyboardInterrupt) as caught:
        reads()
    assert caught.value


@pytest.mark.parametrize("what", ["mmap", "epoll", "eventfd"])
@pytest.mark.parametrize("step", range(3))
def test_events_failure_to_open_leaves_nothing(obj, monkeypatch, what, step):
    """Whatever fails, at whichever step: the error comes out, and the gate finds no descriptor."""
    calls = []

    def failing(real):
        def fails(*arguments, **how):
            calls.append(arguments)
            if len(calls) == step + 1:
                raise OSError(errno.ENOMEM, "injected")
            return real(*arguments, **how)

        return fails

    if what == "mmap":
        monkeypatch.setattr(mmap, "mmap", failing(mmap.mmap))
    elif what == "epoll":
        monkeypatch.setattr(select, "epoll", failing(select.epoll))
    else:
        name = "eventfd" if hasattr(os, "eventfd") else "pipe2"
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    try:
        obj.events("events").close()
    except (OSError, SyscallError) as error:
        assert error.errno == errno.ENOMEM  # noqa: PT017
    else:
        assert len(calls) <= step


def test_events_many_cycles_leave_nothing(obj):
    """A hundred readers, one after the other: the descriptors of one."""
    count = len(os.listdir("/proc/self/fd"))
    for number in range(101):
        with obj.events("events") as reader:
            send(1)
            assert numbers(reader.poll(5.0)) == [number]
    assert len(os.listdir("/proc/self/fd")) == count
