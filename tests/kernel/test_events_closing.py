"""Closing: from any thread, at any time, after any error; nobody is left waiting, and nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import select
import signal
import threading

import pytest

from pybpfload.errors import SyscallError
from tests.support.readers import DEADLINE_S, Worker, attached, numbers, one_cpu, send, until, waits

pytestmark = pytest.mark.kernel


@pytest.fixture(params=[True, False], ids=["ring buffer", "perf buffer"])
def obj(request):
    """buffers.bpf.c: one record for each getpgid."""
    with one_cpu(0), attached("buffers", events__ringbuf=request.param) as loaded:
        yield loaded


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
    closer.join(0.1)
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


def test_events_interrupted_wait_leaves_nothing(obj):
    """Ctrl-C in a waiting loop: the exception comes out, and the reader closes."""

    def interrupts(*_):
        raise KeyboardInterrupt

    def waits_for_ever(reader):
        with reader:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            list(reader)

    reader = obj.events("events")
    before = signal.signal(signal.SIGALRM, interrupts)
    try:
        with pytest.raises(KeyboardInterrupt):
            waits_for_ever(reader)
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
            assert numbers(reader.poll(30.0)) == [number]
    assert len(os.listdir("/proc/self/fd")) == count
