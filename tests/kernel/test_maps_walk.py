"""Walking through maps that change meanwhile; batches and the fall-back to single calls."""

from __future__ import annotations

import ctypes
import errno
import threading
from contextlib import contextmanager

import pytest

from pybpfload.errors import IterationError, SyscallError
from pybpfload.maps import create_map, walk
from pybpfload.spec import MapSpec
from pybpfload.uapi import Cmd, MapFlag, MapType
from tests.support.maps import door, load_part
from tests.support.needs import needs

pytestmark = pytest.mark.kernel

BATCHES = range(Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_DELETE_BATCH + 1)
NAMES = ["hash", "lru", "routes"]


def key_of(m, number: int) -> object:
    """A key of a map, of a number."""
    return (32, number.to_bytes(4, "big")) if m.type is MapType.LPM_TRIE else number


def number_of(m, key: object) -> int:
    """The other way round."""
    return int.from_bytes(bytes(key.address), "big") if m.type is MapType.LPM_TRIE else key


@contextmanager
def without_batches():
    """As on a kernel whose maps have none."""

    def replaced(kernel, number, *arguments):
        return -524 if arguments[0] in BATCHES else kernel(number, *arguments)

    with door(replaced):
        yield


@contextmanager
def counted(calls: list):
    """Notes the command of each bpf(2)."""

    def replaced(kernel, number, *arguments):
        calls.append(arguments[0])
        return kernel(number, *arguments)

    with door(replaced):
        yield


@contextmanager
def churn(m, keys: range):
    """Another thread, which puts keys in and takes them out as fast as it can."""
    stop, rounds = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            for number in keys:
                m.put(key_of(m, number), number)
            for number in keys:
                m.pop(key_of(m, number), None)
            rounds.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_keys_that_stay_are_seen_once_while_others_come_and_go(name, batches):
    """For as long as it takes until the map has changed under several walks."""
    with load_part("map_kinds", name + (" routes6" if name == "routes" else "")) as obj:
        m = obj.maps[name]
        m.update((key_of(m, number), number) for number in range(0, 40, 2))
        walks = 0
        with churn(m, range(1, 20, 2)) as rounds:
            while len(rounds) < 20 or walks < 50:
                if batches:
                    seen = [number_of(m, key) for key, _ in m.items()]
                else:
                    with without_batches():
                        seen = [number_of(m, key) for key, _ in m.items()]
                walks += 1
                stayed = [number for number in seen if number % 2 == 0]
                assert sorted(stayed) == list(range(0, 40, 2))
                if not batches:
                    assert len(seen) == len(set(seen))


@needs("map:rhash")
def test_walk_through_a_table_that_is_resized_ends_and_gives_nothing_twice():
    """While its entries move, the kernel may hide one: once it stands still, all are there."""
    with load_part("map_kinds", "resizable") as obj:
        m = obj.maps["resizable"]
        for _ in range(20):
            m.update((number, number) for number in range(64))
            seen = []
            for key in m:
                seen.append(key)
                del m[key]
            assert len(seen) == len(set(seen)) <= 64
            m.clear()
        m.update((number, number) for number in range(0, 40, 2))
        with churn(m, range(1, 20, 2)) as rounds:
            while len(rounds) < 5:
                keys = list(m.keys())
                assert len(keys) == len(set(keys))
        assert dict(m.items()) == {number: number for number in range(0, 40, 2)}


@pytest.mark.parametrize("keep", [0, 1, 7])
@pytest.mark.parametrize("name", NAMES)
def test_walk_whose_caller_deletes_sees_all(name, keep):
    """Deleting what was just seen, but for the first few: each restart is resumed from the last that exists."""
    with load_part("map_kinds", name + (" routes6" if name == "routes" else "")) as obj, without_batches():
        m = obj.maps[name]
        for number in range(50):
            m[key_of(m, number)] = number
        seen = []
        for key in m:
            seen.append(number_of(m, key))
            if len(seen) > keep:
                del m[key]
        assert sorted(seen) == list(range(50))
        assert len(m) == keep


def test_batches_save_system_calls():
    """Sixty-four entries take one call each to write, read, drain and clear."""
    with load_part("map_kinds", "hash array") as obj:
        for name in ("hash", "array"):
            m = obj.maps[name]
            pairs = [(key_of(m, i), i) for i in range(64)]
            calls = []
            with counted(calls):
                m.update(pairs)
                assert len(calls) == 1
                assert len(dict(m.items())) == 64
                assert len(calls) <= 3
                m.clear()
                assert len(calls) <= 6
                assert len(m) == (64 if name == "array" else 0)


def test_items_without_batches_are_the_same():
    """Reading, writing, emptying and draining, with single calls."""
    with load_part("map_kinds", "hash array cpu_hash cpu_array") as obj, without_batches():
        m = obj.maps["hash"]
        m.update({i: i + 1 for i in range(30)})
        assert dict(m.items()) == {i: i + 1 for i in range(30)}
        assert sorted(m.values()) == list(range(1, 31))
        assert dict(m.drain()) == {i: i + 1 for i in range(30)}
        m[1] = 1
        m.clear()
        assert not m
        obj.maps["array"].update({1: 2, 3: 4})
        assert list(obj.maps["array"])[:5] == [0, 2, 0, 4, 0]
        assert obj.maps["array"][1:4] == [2, 0, 4]
        obj.maps["array"].clear()
        assert not any(obj.maps["array"])
        assert len(list(obj.maps["cpu_array"])) == 64
        assert dict(obj.maps["cpu_hash"].items()) == {}


def test_batch_too_small_for_a_bucket_grows(monkeypatch):
    """A batch of one entry: where two share a bucket, the kernel says ENOSPC."""
    monkeypatch.setattr(walk, "CHUNK_ENTRIES", 1)
    with load_part("map_kinds", "hash") as obj:
        m = obj.maps["hash"]
        for i in range(64):
            m[i] = i
        refused = []

        def replaced(kernel, number, *arguments):
            result = kernel(number, *arguments)
            refused.append(result == -errno.ENOSPC)
            return result

        with door(replaced):
            assert dict(m.items()) == {i: i for i in range(64)}
        assert any(refused)


@pytest.mark.parametrize("name", ["hash", "routes"])
@pytest.mark.parametrize("number", [errno.EINTR, errno.ENOMEM, 524])
def test_batch_that_fails_midway_goes_on_one_by_one(monkeypatch, name, number):
    """What was read is not read again, and nothing is left out."""
    monkeypatch.setattr(walk, "CHUNK_ENTRIES", 16)
    with load_part("map_kinds", "hash routes routes6") as obj:
        m = obj.maps[name]
        m.update((key_of(m, i), i) for i in range(60))
        calls = []

        def replaced(kernel, call, *arguments):
            calls.append(arguments[0])
            third = calls.count(Cmd.MAP_LOOKUP_BATCH) > 2
            return -number if third and arguments[0] == Cmd.MAP_LOOKUP_BATCH else kernel(call, *arguments)

        with door(replaced):
            assert sorted(value for _, value in m.items()) == list(range(60))
        assert Cmd.MAP_GET_NEXT_KEY in calls


def test_batch_that_fails_for_good_is_an_error():
    """Other errors are not hidden."""

    def replaced(kernel, call, *arguments):
        return -errno.EIO if arguments[0] in BATCHES else kernel(call, *arguments)

    with load_part("map_kinds", "hash") as obj, door(replaced):
        for use in (lambda m: list(m.items()), lambda m: m.clear(), lambda m: list(m.drain())):
            with pytest.raises(SyscallError, match=r"BPF_MAP_LOOKUP.*BATCH hash: .*EIO"):
                use(obj.maps["hash"])


def test_walk_that_would_not_end_is_an_error():
    """A kernel that gives the same two keys for ever."""
    keys = [b"\1\0\0\0", b"\2\0\0\0"]

    def replaced(kernel, call, *arguments):
        if arguments[0] in BATCHES:
            return -524
        if arguments[0] != Cmd.MAP_GET_NEXT_KEY:
            return kernel(call, *arguments)
        keys.reverse()
        (ctypes.c_char * 4).from_address(arguments[1]._obj.value).raw = keys[0]
        return 0

    with load_part("map_kinds", "hash") as obj, door(replaced):
        m = obj.maps["hash"]
        with pytest.raises(IterationError, match="map `hash`: changes faster than it can be walked"):
            list(m.keys())


def test_delete_in_batches_steps_over_keys_that_went_by_themselves(monkeypatch):
    """Tries cannot be drained: their keys are read, then deleted, and some may be gone by then."""
    with load_part("map_kinds", "routes routes6") as obj:
        m = obj.maps["routes"]
        m.update((key_of(m, i), i) for i in range(40))

        def replaced(kernel, call, *arguments):
            if arguments[0] == Cmd.MAP_DELETE_BATCH and len(m) == 40:
                for i in (3, 17, 39):
                    del m[key_of(m, i)]
            return kernel(call, *arguments)

        with door(replaced):
            m.clear()
        assert len(m) == 0


def test_large_map_is_read_in_several_chunks():
    """More entries than one chunk has, of a map that was made without an object; keys are bytes then."""
    spec = MapSpec("large", MapType.HASH, key_size=4, value_size=8, max_entries=50_000, flags=MapFlag.NO_PREALLOC)
    with create_map(spec) as m:
        pairs = {i.to_bytes(4, "little"): i.to_bytes(8, "little") for i in range(50_000)}
        m.update(pairs)
        assert dict(m.items()) == pairs
        assert len(m) == 50_000
        m.clear()
        assert len(m) == 0
