"""User ring buffers: what is sent is what the program drains; who waits for room gets it, or is woken."""

from __future__ import annotations

import errno
import mmap
import select
import threading
import time

import pytest

import pybpfload
from pybpfload.errors import ObjectError, RecordError, SyscallError
from tests.support.needs import need, uses
from tests.support.readers import attached, send

pytestmark = pytest.mark.kernel
DEADLINE_S = 20.0
SAMPLE = 8 + 24  # a header, struct command


@pytest.fixture
def obj():
    """userring.bpf.c: each getpgid drains."""
    need("user_ringbuf")
    with attached("userring") as loaded:
        yield loaded


def commands(count: int, start: int = 0):
    return [{"number": start + i, "weight": 3, "text": b"text %d" % i} for i in range(count)]


@uses("map:user_ringbuf")
def test_user_ring_program_gets_what_was_sent(obj):
    """Typed values, in order, none twice."""
    with obj.user_ring("commands") as ring:
        for command in commands(101):
            assert ring.send(command)
        assert ring.pending == 101 * SAMPLE
        send(1)
        assert ring.pending == 0
    variables = obj.variables
    assert (variables["result"], variables["received"], variables["weights"]) == (101, 101, 303)
    assert (variables["numbers"], variables["in_order"], variables["last"]) == (5050, 1, b"text 100")


def test_user_ring_wraps_around_without_losing_or_repeating(obj):
    """Many times its size, in portions that never end with it."""
    with obj.user_ring("commands") as ring:
        for portion in range(59):
            assert all(ring.send(command) for command in commands(37, portion * 37))
            send(1)
        assert ring.sent == 59 * 37
    assert obj.variables["received"] == 59 * 37
    assert obj.variables["in_order"] == 1


def test_user_ring_full_refuses_and_goes_on_later(obj):
    """What does not fit is not sent; after a drain it is."""
    with obj.user_ring("commands") as ring:
        results = [ring.send(command) for command in commands(131)]
        assert results == [True] * 128 + [False] * 3
        assert not ring.send(commands(1)[0], timeout_s=0.01)
        send(1)
        assert ring.send(commands(1, 128)[0])
        send(1)
    assert obj.variables["received"] == 129
    assert obj.variables["in_order"] == 1


def test_user_ring_waits_for_room(obj):
    """Blocked senders, several at once, get on as the program drains; nobody is left behind."""
    with obj.user_ring("commands") as ring:
        senders = [
            threading.Thread(target=lambda: [ring.send(c, timeout_s=None) for c in commands(211)]) for _ in range(3)
        ]
        for sender in senders:
            sender.start()
        deadline = time.monotonic() + DEADLINE_S
        while any(sender.is_alive() for sender in senders) and time.monotonic() < deadline:
            send(1)
            for sender in senders:
                sender.join(0.001)
        assert not any(sender.is_alive() for sender in senders)
        send(1)
        assert ring.pending == 0
    assert obj.variables["received"] == 633
    assert obj.variables["weights"] == 3 * 633


def test_user_ring_fileno_tells_of_drains(obj):
    """For event loops: readable after a drain."""
    with obj.user_ring("commands") as ring:
        select.select([ring], [], [], 0)
        ring.send(commands(1)[0])
        send(1)
        assert select.select([ring], [], [], 5)[0] == [ring]


def test_user_ring_samples_in_place(obj):
    """Reserved, written and submitted; discarded on an exception. The program waits for an open one."""
    layout = obj.spec.records["commands"]
    first, second = (layout.pack_value(command) for command in commands(2))
    with obj.user_ring("commands") as ring:
        sample = ring.reserve(len(first))
        with ring.sample(len(second)) as memory:
            memory[:] = second
        send(1)
        assert obj.variables["received"] == 0
        sample.memory[:] = first
        sample.submit()
        with pytest.raises(ZeroDivisionError), ring.sample(24):
            raise ZeroDivisionError
        send(1)
        assert ring.pending == 0
    assert (obj.variables["received"], obj.variables["in_order"]) == (2, 1)


def test_user_ring_sample_cannot_be_used_again(obj):
    """Its memory is the program's from then on."""
    with obj.user_ring("commands") as ring:
        sample = ring.reserve(24)
        sample.submit()
        with pytest.raises(ValueError, match="released"):
            sample.memory[0] = 1
        for again in (sample.submit, sample.discard):
            with pytest.raises(ValueError, match="already"):
                again()


def test_user_ring_closed_with_open_samples_discards_them(obj):
    """Else the program would wait for them for ever."""
    with obj.user_ring("commands") as ring:
        ring.reserve(24)
        ring.send(commands(1)[0])
    with obj.user_ring("commands") as ring:
        send(1)
        assert ring.pending == 0
    assert obj.variables["received"] == 1


def test_user_ring_close_wakes_who_waits(obj):
    """Two blocked threads, closed by a third."""
    ring = obj.user_ring("commands")
    while ring.send(commands(1)[0]):
        pass
    errors = []

    def blocked():
        try:
            ring.reserve(24, None)
        except ValueError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=blocked) for _ in range(2)]
    for thread in threads:
        thread.start()
    ring.close()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert errors == ["user ring buffer `commands` is closed"] * 2
    assert ring.pending == 0


def test_user_ring_refuses_what_does_not_fit(obj):
    """Sizes beyond the buffer, values beyond their type, and other maps."""
    with obj.user_ring("commands") as ring:
        for size in (4089, 1 << 31, -1):
            with pytest.raises(RecordError, match="expected at most 4088"):
                ring.reserve(size)
        ring.reserve(4088).discard()
        with pytest.raises(RecordError, match="no member `nope`"):
            ring.send({"nope": 1})
        send(1)
        full = ring.reserve(4088)
        with pytest.raises(BlockingIOError, match="no room for 24 bytes"), ring.sample(24, timeout_s=0.001):
            pytest.fail("there was room")
        full.submit()
    send(1)
    with pybpfload.UserRing(obj.maps["commands"]) as plain:
        with pytest.raises(RecordError, match="expected bytes"):
            plain.send({"number": 1})
        assert plain.send(b"short")
    with pytest.raises(ObjectError, match="is ARRAY, expected USER_RINGBUF"):
        pybpfload.UserRing(obj.maps[".bss"])


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("where", [(mmap, "mmap"), (select, "epoll")], ids=lambda w: w[1])
def test_user_ring_failure_to_open_leaves_nothing(obj, monkeypatch, where, step):
    """The error comes out, and the gate finds no descriptor."""
    module, name = where
    real, calls = getattr(module, name), []

    def fails(*arguments, **how):
        calls.append(arguments)
        if len(calls) == step + 1:
            raise OSError(errno.ENOMEM, "injected")
        return real(*arguments, **how)

    monkeypatch.setattr(module, name, fails)
    try:
        obj.user_ring("commands").close()
    except (OSError, SyscallError) as error:
        assert error.errno == errno.ENOMEM  # noqa: PT017
    else:
        assert len(calls) <= step
