"""Perf buffers: each CPU's records in order, every loss counted, nothing left in the map."""

from __future__ import annotations

import errno
import mmap
import os
import select
import sys
import threading

import pytest

import pybpfload
from pybpfload import perfbuf
from pybpfload._sys import maps as sys_maps
from pybpfload._sys import perfbuf as sys_perfbuf
from pybpfload._sys import syscall
from pybpfload.errors import ObjectError, PrivilegeError, RecordError, SyscallError
from tests.support.readers import attached, one_cpu, send

pytestmark = pytest.mark.kernel

PAGE = mmap.PAGESIZE
HEADER = 12 + 112 + 4  # what a record takes: header and size, the record, rounded up


@pytest.fixture
def obj():
    """buffers.bpf.c with a perf buffer; four records for each getpgid."""
    with attached("buffers", events__ringbuf=False, targ_repeat=4) as loaded:
        yield loaded


def test_perf_decodes_records_from_btf(obj):
    """What C wrote is what Python reads, by name; the CPU is the one it ran on."""
    with one_cpu(0), obj.events("events") as reader:
        assert isinstance(reader, pybpfload.PerfReader)
        send(1)
        records = reader.poll(30.0)
    assert [r.asdict() for r in records] == [{"number": i, "cpu": 0, "pad": 0, "text": b"hello"} for i in range(4)]


@pytest.mark.parametrize("made", [True, False])
def test_perf_wraps_around_without_losing_or_repeating(obj, made):
    """Many times a buffer of one page, in pieces that never end with it: every number once, in order."""
    layout, numbers = obj.spec.records["events"], []
    how = {} if made else {"decode": layout.decode}
    with one_cpu(0), obj.events("events", size=PAGE, **how) as reader:
        for _ in range(101):
            send(7)
            numbers += [r.number for r in reader.poll(30.0)]
        assert reader.stats() == (2828, 0, 0, 0, 0)
    assert numbers == list(range(2828))
    assert obj.variables["sent"] == 2828


@pytest.mark.parametrize("text", [11, 96])
def test_perf_record_over_the_end_is_put_together(text):
    """Records whose size does not divide the buffer's lie on its end at times, with all their bytes."""
    with attached("buffers", events__ringbuf=False, targ_text=text) as obj:
        texts = []
        with one_cpu(0), obj.events("events", size=PAGE) as reader:
            for _ in range(211):
                send(1)
                texts += [(r.number, r.text) for r in reader.read()]
        assert texts == [(i, b"hello") for i in range(211)]


def test_perf_overload_is_counted_by_the_program(obj):
    """Sent is received and lost, to the last one."""
    with obj.events("events", size=PAGE) as reader:
        send(997)
        received = len(reader.read())
        stats = reader.stats()
    assert received == stats.received > 0
    assert stats.received + stats.lost == 3988 == obj.variables["sent"]
    assert stats.lost > 3000


def test_perf_overload_is_counted_by_the_kernel(obj):
    """Without a counter of the program's: at once where the event tells, else when there is room again."""
    layout = obj.spec.records["events"]
    with one_cpu(0), pybpfload.PerfReader(obj.maps["events"], layout.reader(), size=PAGE) as reader:
        send(997)
        reader.read()
        send(1)  # the first that finds room takes the news along
        reader.read()
        assert reader.received + reader.lost == 3992 == obj.variables["sent"]
        assert reader.lost > 3000
        lost = reader.lost
    assert reader.lost == lost


def test_perf_losses_are_told_in_the_buffer_by_older_kernels(obj, monkeypatch):
    """Kernels before 6.0 refuse the read format; their LOST records say the same."""
    real = sys_perfbuf.open_output

    def without(cpu, **how):
        opened = real(cpu, **how)
        return opened and (opened[0], False)

    monkeypatch.setattr(sys_perfbuf, "open_output", without)
    layout = obj.spec.records["events"]
    with one_cpu(0), pybpfload.PerfReader(obj.maps["events"], layout.reader(), size=PAGE) as reader:
        send(997)
        reader.read()
        send(1)
        reader.read()
        assert reader.received + reader.lost == 3992
        assert reader.lost > 3000


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU only")
def test_perf_reads_the_buffers_of_all_cpus(obj):
    """Each CPU's records in order, none twice; a batch bound cannot starve one of them."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    with obj.events("events") as reader:
        for _ in range(13):
            for cpu in cpus:
                with one_cpu(cpu):
                    send(1)
        first = reader.read(5) + reader.read(5)
        records = first + reader.read()
    assert {r.cpu for r in first} == set(cpus)
    for cpu in cpus:
        numbers = [r.number for r in records if r.cpu == cpu]
        assert numbers == sorted(numbers)
        assert len(numbers) == 52


def test_perf_bounded_batch_leaves_the_descriptor_readable(obj):
    """The kernel announces records once; what a bound left is still announced, until it is read."""
    with obj.events("events") as reader:
        assert select.select([reader], [], [], 0)[0] == []
        send(2)
        assert select.select([reader], [], [], 5)[0] == [reader]
        assert len(reader.read(3)) == 3
        for expected in (3, 2):
            assert select.select([reader], [], [], 0)[0] == [reader]
            assert len(reader.read(3)) == expected
        assert select.select([reader], [], [], 0)[0] == []


def test_perf_wakeup_waits_for_so_many_records():
    """One wake-up for five records: three do not wake, five do."""
    with attached("buffers", events__ringbuf=False) as obj, one_cpu(0), obj.events("events", wakeup=5) as reader:
        send(3)
        assert select.select([reader], [], [], 0.05)[0] == []
        send(2)
        assert select.select([reader], [], [], 5)[0] == [reader]
        assert len(reader.read()) == 5


def test_perf_watermark_waits_for_so_many_bytes():
    """Nine records of 128 bytes stay below 1200 bytes, ten do not."""
    source = attached("buffers", events__ringbuf=False)
    with source as obj, one_cpu(0), obj.events("events", watermark=1200) as reader:
        send(9)
        assert select.select([reader], [], [], 0.05)[0] == []
        assert reader.pending == 9 * HEADER
        send(1)
        assert select.select([reader], [], [], 5)[0] == [reader]


def test_perf_poll_wakes_for_a_record_from_another_thread(obj):
    """A waiting reader is woken, again and again."""
    with obj.events("events") as reader:
        for _ in range(20):
            sender = threading.Timer(0.005, send, (1,))
            sender.start()
            got = reader.poll(10.0)
            sender.join()
            assert len(got + reader.read()) == 4


def test_perf_undecodable_record_is_counted_and_reading_goes_on(obj):
    """One bad record does not take the others with it, nor does it come again."""

    def picky(number):
        if number % 3 == 1:
            raise RecordError("not this one")
        return number

    with one_cpu(0), obj.events("events", convert={"number": picky}) as reader:
        send(10)
        assert [r.number for r in reader.read()] == [n for n in range(40) if n % 3 != 1]
        assert reader.stats() == (27, 0, 13, 0, 0)


def test_perf_error_of_a_converter_loses_no_other_record(obj):
    """It leaves once, for its record; those before it and behind it come with the next call."""

    def explodes(number):
        return (1 // (number - 11), number)[1]

    with one_cpu(0), obj.events("events", convert={"number": explodes}) as reader:
        send(10)
        with pytest.raises(ZeroDivisionError):
            reader.read()
        assert len(reader.read()) == 39
        assert reader.received == 39


def test_perf_short_text_ends_at_its_nul():
    """The kernel rounds sizes up and leaves what was there: none of it shows."""
    source = attached("buffers", events__ringbuf=False, targ_text=13)
    with source as obj, one_cpu(0):
        plain = obj.spec.records["events"].reader()
        for decode, texts in ((None, {b"hello"}), (plain, {b"hello", b"hello".ljust(16, b"\0") + b"hell"})):
            with obj.events("events", size=PAGE, decode=decode) as reader:
                seen = set()
                for _ in range(1009):
                    send(1)
                    seen.update(r.text for r in reader.read())
                assert seen == texts


def test_perf_close_takes_the_events_out_of_the_map(obj):
    """The kernel writes for nobody no more, and the next reader can come."""
    cpus = sys_perfbuf.online_cpus()
    for _ in range(3):
        with one_cpu(0), obj.events("events") as reader:
            send(1)
            assert len(reader.poll(30.0)) == 4
        for cpu in cpus:
            assert not sys_maps.delete(obj.maps["events"].fileno(), "events", cpu.to_bytes(4, sys.byteorder))


def test_perf_of_another_map_type_is_refused(obj):
    """Only a perf event array can be read as one."""
    with pytest.raises(ObjectError, match="map `events__lost` is PERCPU_ARRAY, expected PERF_EVENT_ARRAY"):
        pybpfload.PerfReader(obj.maps["events__lost"], lambda *_: None)


@pytest.mark.parametrize("how", [{"size": 5000}, {"size": 0}, {"wakeup": 0}, {"watermark": 1 << 20}])
def test_perf_of_impossible_sizes_is_refused(obj, how):
    """Before anything is opened."""
    with pytest.raises(ObjectError, match="expected"):
        obj.events("events", **how)


@pytest.mark.parametrize("step", range(4))
def test_perf_failure_leaves_nothing(obj, monkeypatch, step):
    """Whichever event cannot be opened, entered or mapped: the others are given up, too."""
    calls = []
    real = syscall.door

    def fails(number, *arguments):
        perf_event = number == syscall.numbers().perf_event_open
        update = number == syscall.numbers().bpf and arguments[0] == 2
        if perf_event or update:
            calls.append(number)
            if len(calls) == step + 1:
                return -errno.EMFILE
        return real(number, *arguments)

    monkeypatch.setattr(syscall, "door", fails)
    try:
        obj.events("events").close()
    except SyscallError as error:
        assert error.errno == errno.EMFILE  # noqa: PT017
    monkeypatch.setattr(syscall, "door", real)
    assert len(calls) > step or step >= 2 * len(sys_perfbuf.online_cpus())
    for cpu in sys_perfbuf.online_cpus():
        assert not sys_maps.delete(obj.maps["events"].fileno(), "events", cpu.to_bytes(4, sys.byteorder))


def test_perf_too_much_locked_memory_is_said(obj, monkeypatch):
    """The errno of mmap is kept, and the buffer is named."""

    def refuses(*_, **__):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(mmap, "mmap", refuses)
    with pytest.raises(PrivilegeError, match=r"mmap perf buffer events of CPU 0.*EPERM"):
        obj.events("events")


def test_perf_broken_position_is_an_error_and_no_endless_loop(obj):
    """The first page is writable for whoever shares it: a tail that cannot be is refused, and nothing read."""
    with one_cpu(0), obj.events("events") as reader:
        send(1)
        page = reader._buffers[0].page
        for wrong in (1 << 40, -(1 << 20), 1):
            page[perfbuf.TAIL] = (page[perfbuf.TAIL] + wrong) % (1 << 64)
            with pytest.raises(ObjectError, match="broken"):
                reader.read()
            page[perfbuf.TAIL] = (page[perfbuf.TAIL] - wrong) % (1 << 64)
        assert len(reader.read()) == 4
