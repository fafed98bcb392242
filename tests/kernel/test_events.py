"""What both kinds of buffers do alike, from one C source; and which kind it is."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

import pybpfload
from pybpfload import features
from pybpfload._sys import syscall
from pybpfload.errors import ObjectError
from pybpfload.uapi import MapType
from tests.support.readers import DEADLINE_S, attached, numbers, one_cpu, send

pytestmark = pytest.mark.kernel


@pytest.fixture(params=[True, False], ids=["ring buffer", "perf buffer"])
def obj(request):
    """buffers.bpf.c: one record for each getpgid."""
    with one_cpu(0), attached("buffers", events__ringbuf=request.param) as loaded:
        yield loaded


def test_events_picks_the_reader_by_the_map():
    """The same source, the same records, the same counters."""
    seen = []
    for kind in (True, False):
        with attached("buffers", events__ringbuf=kind) as obj, one_cpu(0), obj.events("events") as reader:
            send(7)
            seen.append((numbers(reader.poll(30.0)), reader.stats(), obj.maps["events"].type, type(reader)))
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
        assert numbers(reader.poll(30.0)) == list(range(707))


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
        assert len(reader.poll(30.0) + reader.read()) == 6


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
