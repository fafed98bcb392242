"""The ring buffer: nothing lost, nothing twice, nothing kept longer than the call."""

from __future__ import annotations

import os
import select
import threading

import pytest

import pybpfload
from pybpfload.errors import ObjectError, RecordError
from tests.support.needs import uses
from tests.support.objects import read

pytestmark = pytest.mark.kernel


@pytest.fixture
def obj():
    """ring.bpf.c, attached, watching this process."""
    spec = read("ring")
    spec.variables["targ_tgid"] = os.getpid()
    with pybpfload.load(spec) as loaded, loaded.attach_all():
        yield loaded


def send(count: int) -> None:
    """Each getpgid is a record; every third one is discarded."""
    for _ in range(count):
        os.getpgid(0)


@uses("map:ringbuf")
def test_ring_decodes_every_member_from_btf(obj):
    """What C wrote is what Python reads, by name."""
    with obj.ring("events") as ring:
        send(1)
        (record,) = ring.poll(30.0)
    assert record.asdict() == {
        "number": 0, "inner": {"a": 0xABCD, "b": -3}, "low": 5, "high": -7, "list": (10, 20, 30),
        "word": 0x01020304, "byte": 4, "shape": 2, "text": b"hello",
    }  # fmt: skip


def test_ring_wraps_around_without_losing_or_repeating(obj):
    """Many times the size of the buffer, read in small pieces: every number once, in order."""
    numbers = []
    with obj.ring("events") as ring:
        for _ in range(211):
            send(7)
            numbers += [r.number for r in ring.poll(30.0, 100)]
        assert ring.pending == 0
        assert ring.received == len(numbers)
        assert ring.discarded == 211 * 7 // 3
    assert numbers == [n for n in range(211 * 7) if (n + 1) % 3]
    assert obj.variables["lost"] == 0


def test_ring_full_loses_and_the_program_counts(obj):
    """What did not fit is counted by the program: sent + lost is what was made."""
    with obj.ring("events") as ring:
        send(997)
        received = len(ring.read())
        assert received + ring.discarded == obj.variables["sent"]
    assert obj.variables["sent"] + obj.variables["lost"] == 997
    assert obj.variables["lost"] > 0


def test_ring_max_records_bounds_a_batch(obj):
    """The rest waits for the next call."""
    with obj.ring("events") as ring:
        send(10)
        assert [r.number for r in ring.poll(0, 3)] == [0, 1]
        assert [r.number for r in ring.poll(0)] == [3, 4, 6, 7, 9]


def test_ring_poll_without_records_returns_after_its_timeout(obj):
    """An empty ring gives an empty list, and does not hang."""
    with obj.ring("events") as ring:
        assert ring.poll(0.01) == []


def test_ring_poll_wakes_for_a_record_from_another_thread(obj):
    """A waiting reader is woken by the kernel, again and again."""
    with obj.ring("events") as ring:
        for _ in range(20):
            sender = threading.Timer(0.005, send, (2,))
            sender.start()
            got = ring.poll(10.0)
            sender.join()
            got += ring.read()
            assert got
    assert obj.variables["sent"] == 40


def test_ring_fileno_is_readable_when_there_are_records(obj):
    """For select and event loops."""
    with obj.ring("events") as ring:
        assert select.select([ring], [], [], 0)[0] == []
        send(1)
        assert select.select([ring], [], [], 5)[0] == [ring]


def test_ring_undecodable_record_is_counted_and_reading_goes_on(obj):
    """One bad record does not take the others with it."""
    layout = obj.spec.records["events"]

    def picky(buffer, offset, size):
        record = layout.decode(buffer, offset, size)
        if record.number == 1:
            raise RecordError("not this one")
        return record.number

    with pybpfload.RingReader(obj.maps["events"], picky) as ring:
        send(5)
        assert ring.poll(30.0) == [0, 3, 4]
        assert (ring.received, ring.undecodable, ring.discarded) == (3, 1, 1)


def test_ring_exception_in_decode_does_not_repeat_its_record(obj):
    """Another error leaves, and the next call goes on behind that record."""
    seen = []

    def explodes(buffer, offset, size):
        seen.append(offset)
        raise ZeroDivisionError

    with pybpfload.RingReader(obj.maps["events"], explodes) as ring:
        send(2)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                ring.read()
        assert ring.read() == []
    assert len(set(seen)) == 2


def test_ring_of_another_map_type_is_refused(obj):
    """Only a ring buffer can be read as one."""
    with pytest.raises(ObjectError, match=r"map `\.bss` is ARRAY, expected RINGBUF"):
        pybpfload.RingReader(obj.maps[".bss"], lambda *_: None)
