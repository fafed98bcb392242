"""The ring buffer's protocol, against a kernel made of Python: any records, busy ones, broken positions.

The same tests run with the barriers of weakly ordered machines and without.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybpfload import ringbuf
from pybpfload.btf import types as t
from pybpfload.btf.layout import layout_of
from pybpfload.errors import ObjectError, RecordError
from pybpfload.events import EventReader
from pybpfload.ringbuf import BUSY, DISCARD, HEADER, RingReader
from tests.support.types import Types

SIZE = 4096


class FakeRing(RingReader):
    """A reader of memory that `send` fills, as the kernel would."""

    def __init__(self, decode) -> None:
        EventReader.__init__(self, "fake", decode, None)
        self.size, self._mask, self._run, self._fence = SIZE, SIZE - 1, ringbuf.RUN_START, ringbuf.Fence()
        self.positions = bytearray(16)
        self._consumer = memoryview(self.positions)[:8].cast("Q")
        self._producer = memoryview(self.positions)[8:].cast("Q")
        self._data = memoryview(bytearray(2 * SIZE))
        self._headers = self._data.cast("I")

    def write(self, at: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            place = (at + i) % SIZE
            self._data[place] = self._data[place + SIZE] = byte

    def send(self, data: bytes, flags: int = 0) -> int | None:
        """Append a record; returns where it begins, or None when there is no room."""
        at, total = self._producer[0], len(data) + HEADER + 7 & ~7
        if at + total - self._consumer[0] > SIZE:
            return None
        self.write(at, struct.pack("=II", len(data) | flags, 0) + data)
        self._producer[0] = at + total
        return at

    def submit(self, at: int, flags: int = 0) -> None:
        (word,) = struct.unpack_from("=I", self._data, at % SIZE)
        self.write(at, struct.pack("=I", word & ~BUSY | flags))


@pytest.fixture(params=[True, False], ids=["strong order", "weak order"], autouse=True)
def _order(request, monkeypatch):
    monkeypatch.setattr(ringbuf, "STRONG_ORDER", request.param)


def pair_layout():
    made = Types()
    char = made.add(lambda i: t.Int(i, "char", 1, 8, 0, 3))
    number = made.int("u32", signed=False)
    made.struct("s", 20, ("number", number, 0), ("text", made.array(char, 16), 4))
    return layout_of(made.btf(), len(made.all))


LAYOUT = pair_layout()


def numbered(number: int, size: int) -> bytes:
    return struct.pack("<I", number).ljust(size, b"x")


RECORDS = st.lists(
    st.tuples(st.sampled_from([20, 20, 20, 20, 4, 9, 24, 3, 0]), st.sampled_from([0, 0, 0, 0, 0, DISCARD])),
    max_size=200,
)


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.data())
def test_ring_any_records_come_once_and_in_order(records, data):
    """Long rows and short ones, discarded and too short ones, in batches of any size, over the end."""
    with FakeRing(LAYOUT.reader()) as ring:
        ring._consumer[0] = ring._producer[0] = data.draw(st.integers(0, 2 * SIZE // 8)) * 8
        got, expected, discarded, refused = [], [], 0, 0
        for number, (size, flags) in enumerate(records):
            while ring.send(numbered(number, size)[:size], flags) is None:
                got += ring.read(data.draw(st.integers(1, 300)))
            if flags:
                discarded += 1
            elif size < 4:
                refused += 1
            else:
                expected.append((number, b"x" * (min(size, 20) - 4)))
        while ring.pending:
            got += ring.read(data.draw(st.integers(1, 300)))
        assert got == expected
        assert ring.stats() == (len(expected), discarded, refused, 0, 0)


@pytest.mark.parametrize("busy", [0, 1, 5, 20, 39])
def test_ring_stops_at_a_busy_record(busy):
    """Those before it come, it and those behind it later; the position stands exactly at it."""
    with FakeRing(LAYOUT.reader()) as ring:
        places = [ring.send(numbered(i, 20), BUSY if i == busy else 0) for i in range(40)]
        assert [r.number for r in ring.read()] == list(range(busy))
        assert ring._consumer[0] == places[busy]
        assert ring.poll(0.01) == []
        ring.submit(places[busy])
        assert [r.number for r in ring.read()] == list(range(busy, 40))


def test_ring_busy_record_that_gets_discarded_is_skipped():
    """Taken back after all."""
    with FakeRing(LAYOUT.reader()) as ring:
        places = [ring.send(numbered(i, 20), BUSY) for i in range(3)]
        for place, flags in zip(places, (0, DISCARD, 0)):
            ring.submit(place, flags)
        assert [r.number for r in ring.read()] == [0, 2]
        assert ring.discarded == 1


def test_ring_does_not_spin_on_a_busy_record(monkeypatch):
    """To epoll it is data all the time: the reader sleeps instead, and asks epoll no more."""
    with FakeRing(LAYOUT.reader()) as ring:
        ring.send(numbered(0, 20), BUSY)
        slept = []
        monkeypatch.setattr("time.sleep", slept.append)
        ring.read()
        ring._wait(5.0)
        assert slept == [0.001]


@pytest.mark.parametrize(("consumer", "producer"), [(8, 0), (0, SIZE + 8), (4, 64), (0, 1 << 63)])
def test_ring_positions_that_cannot_be_are_an_error(consumer, producer):
    """Whoever has the map can write the consumer position: nothing is read, and nothing loops."""
    with FakeRing(LAYOUT.reader()) as ring:
        ring._consumer[0], ring._producer[0] = consumer, producer
        with pytest.raises(ObjectError, match="expected at most 4096 between them"):
            ring.read()


WORDS = st.lists(
    st.sampled_from([0, 20, 24, SIZE, 2 * SIZE, DISCARD - 1, 1 << 32]) | st.integers(0, 1 << 64), max_size=30
)


@settings(deadline=None)
@given(WORDS, st.integers(0, SIZE // 8), st.integers(0, SIZE // 8))
def test_ring_any_bytes_are_read_within_bounds(words, start, count):
    """Headers that no kernel would write: an end, or an error of ours."""
    with FakeRing(LAYOUT.reader()) as ring:
        ring._consumer[0], ring._producer[0] = start * 8, (start + count) * 8
        for i, word in enumerate(words):
            ring.write((start + i) * 8, struct.pack("=Q", word % (1 << 64)))
        try:
            for _ in range(3):
                ring.read()
        except (ObjectError, RecordError):
            pass


@pytest.mark.parametrize("bad", [0, 1, 17, 39])
def test_ring_converter_that_refuses_costs_its_record_only(bad):
    """In the middle of a row that is decoded at once."""

    def picky(number):
        if number == bad:
            raise RecordError("not this one")
        return number

    with FakeRing(LAYOUT.reader({"number": picky})) as ring:
        for i in range(40):
            ring.send(numbered(i, 20))
        assert [r.number for r in ring.read()] == [i for i in range(40) if i != bad]
        assert ring.stats() == (39, 0, 1, 0, 0)


@pytest.mark.parametrize("bad", [0, 1, 17, 39])
def test_ring_error_of_a_converter_is_raised_once_and_loses_no_other(bad):
    """Those before it come with the next call."""
    with FakeRing(LAYOUT.reader({"number": lambda number: (1 // (number - bad), number)[1]})) as ring:
        for i in range(40):
            ring.send(numbered(i, 20))
        with pytest.raises(ZeroDivisionError):
            ring.read()
        assert [r.number for r in ring.read()] == [i for i in range(40) if i != bad]
        assert ring.received == 39


def test_ring_limit_counts_discarded_records():
    """A bound is one of work, too."""
    with FakeRing(LAYOUT.reader()) as ring:
        for i in range(40):
            ring.send(numbered(i, 20), DISCARD if i % 3 == 2 else 0)
        assert [r.number for r in ring.read(30)] == [i for i in range(30) if i % 3 != 2]
        assert ring.discarded == 10
