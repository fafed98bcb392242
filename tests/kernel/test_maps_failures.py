"""Maps when things go wrong: system calls that fail, hostile sizes, closed maps, values that do not fit."""

from __future__ import annotations

import errno
import os

import pytest

import pybpfload
from pybpfload.errors import BpfError, ObjectError, RecordError, SyscallError, UnsupportedError
from pybpfload.features import has
from pybpfload.maps import create_map, open_map, possible_cpus
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType
from tests.support.gates import Leaks
from tests.support.maps import door, load_part, part
from tests.support.objects import read
from tests.support.sandbox import bpffs

pytestmark = pytest.mark.kernel


def use_hash(_: object) -> None:
    with load_part("map_kinds", "hash cpu_hash points") as obj:
        m = obj.maps["hash"]
        m.update({i: i for i in range(40)})
        assert len(dict(m.items())) == 40
        m[1] = 2
        assert m.pop(1) == 2
        assert m.setdefault(1, 3) == 3
        assert m.get(99) is None
        del m[2]
        assert len(list(m.drain())) == 39
        m.clear()
        obj.maps["cpu_hash"][1] = [1] * possible_cpus()
        assert obj.maps["cpu_hash"][1].sum() == possible_cpus()
        obj.maps["points"].update({(1, 2): (3, 4)})
        obj.maps["points"].clear()


def use_array(_: object) -> None:
    with load_part("map_kinds", "array shared queue routes") as obj:
        obj.maps["array"].update({1: 2, 3: 4})
        assert list(obj.maps["array"])[:4] == [0, 2, 0, 4]
        obj.maps["array"].clear()
        obj.maps["shared"].memory[0] = 1
        obj.maps["queue"].push((1, 2))
        assert list(obj.maps["queue"].drain()) == [(1, 2)]
        obj.maps["routes"].update({"10.0.0.0/8": 1, "10.1.0.0/16": 2})
        assert len(obj.maps["routes"]) == 2
        obj.maps["routes"].clear()


def use_nested(_: object) -> None:
    with pybpfload.load(read("nested")) as obj:
        with obj.maps["outer"].inner(0) as inner:
            assert inner.id == obj.maps["first"].id
        obj.maps["outer"][1] = obj.maps["second"]
        del obj.maps["outer"][1]
        obj.maps["tails"][0] = obj.programs["tail_one"]
        assert len(dict(obj.maps["tails"])) == 3


def use_pins(folder) -> None:
    for name in os.listdir(folder):
        os.unlink(folder / name)
    spec = part("maps", "raw typed")
    with pybpfload.load(spec, pin_dir=folder) as first, pybpfload.load(spec, pin_dir=folder) as second:
        first.maps["raw"][b"abc"] = b"12345"
        assert second.maps["raw"][b"abc"] == b"12345"
        first.maps["typed"].pin(folder / "typed")
        with open_map(folder / "typed") as again:
            assert again.info().id == first.maps["typed"].id
        first.maps["typed"].unpin(folder / "typed")
        first.maps["raw"].unpin(folder / "raw")


def use_variables(_: object) -> None:
    with load_part("maps") as obj:
        obj.variables["plain"] = 5
        assert obj.variables["plain"] == 5
        assert dict(obj.variables)["text"] == b"fixed"


@pytest.fixture
def folder(tmp_path):
    """A bpffs."""
    with bpffs(tmp_path / "bpffs") as place:
        yield place


USES_AND_ERRORS = [
    *[(use, errno.EIO) for use in (use_hash, use_array, use_nested, use_pins, use_variables)],
    *[(use_pins, number) for number in (errno.EPERM, errno.EEXIST)],
    *[(use_hash, number) for number in (errno.ENOENT, errno.EINVAL, errno.ENOMEM, 524)],
]


@pytest.mark.slow
@pytest.mark.parametrize(("use", "number"), USES_AND_ERRORS)
def test_each_call_that_fails_leaves_nothing_behind(folder, use, number):
    """One call after the other fails; what comes of it is no error or one of the library's, and no leak."""
    calls = [0]

    def counting(kernel, *arguments):
        calls[0] += 1
        return kernel(*arguments)

    with door(counting):
        use(folder)
        first = calls[0]
        use(folder)  # the kernel's features are known now
    total, failed = calls[0] - first, 0
    assert 5 < total < 400
    for victim in range(total):
        left = Leaks()
        at = [-1]

        def failing(kernel, *arguments, at=at, victim=victim):
            at[0] += 1
            return -number if at[0] == victim else kernel(*arguments)

        with door(failing):
            try:
                use(folder)
            except (BpfError, KeyError, IndexError):
                failed += 1
            except AssertionError:
                assert number == errno.ENOENT  # which means that there is no such key
        assert at[0] >= victim
        for name in os.listdir(folder):
            os.unlink(folder / name)
        assert left.check() == []
    assert failed


HUGE = [
    {"value_size": 1 << 32},
    {"value_size": -1},
    {"value_size": (1 << 32) - 8},
    {"key_size": 1 << 32},
    {"key_size": 1 << 30},
    {"max_entries": 1 << 32},
    {"max_entries": (1 << 32) - 1, "value_size": 1 << 20},
    {"flags": 1 << 32},
    {"flags": 1 << 31},
]


@pytest.mark.parametrize("kind", [MapType.HASH, MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.QUEUE])
@pytest.mark.parametrize("sizes", HUGE, ids=str)
def test_map_of_impossible_size_is_refused(kind, sizes):
    """By us, where the kernel would see only the lower half of a number; else by the kernel."""
    plain = {"key_size": 0 if kind is MapType.QUEUE else 4, "value_size": 4, "max_entries": 1, **sizes}
    with pytest.raises((ObjectError, SyscallError)) as caught:
        create_map(MapSpec("huge", kind, **plain))
    assert "huge" in str(caught.value)


def test_map_with_large_values_is_read_whole():
    """A value larger than a batch wants to be: a few at a time."""
    spec = MapSpec("large", MapType.HASH, key_size=4, value_size=1 << 20, max_entries=5, flags=MapFlag.NO_PREALLOC)
    values = {bytes([i, 0, 0, 0]): bytes([i]) * (1 << 20) for i in range(5)}
    with create_map(spec) as m:
        m.update(values)
        assert dict(m.items()) == values
        m.clear()
        assert not m


def test_map_of_a_type_that_the_kernel_lacks_says_since_when(monkeypatch):
    """Instead of EINVAL, which says nothing."""
    monkeypatch.setattr("pybpfload.maps.create.has", lambda name: name != "map:hash" and has(name))
    with pytest.raises(UnsupportedError, match=r"this kernel has no maps of type hash \(it came with 3.19\)"):
        create_map(MapSpec("bad", MapType.HASH, key_size=0, value_size=4, max_entries=1))


USES = {
    "read": lambda m: m[1],
    "write": lambda m: m.__setitem__(1, 1),
    "delete": lambda m: m.__delitem__(1),
    "walk": lambda m: list(m.items()),
    "count": len,
    "update": lambda m: m.update({1: 1, 2: 2}),
    "clear": lambda m: m.clear(),
    "pop": lambda m: m.pop(1),
    "info": lambda m: m.info(),
    "id": lambda m: m.id,
    "freeze": lambda m: m.freeze(),
    "pin": lambda m: m.pin("/nowhere"),
    "fileno": lambda m: m.fileno(),
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_closed_map_says_so_whatever_is_asked(use):
    """And makes no system call on a number that may be somebody else's by now."""
    with load_part("map_kinds", "hash") as obj:
        m = obj.maps["hash"]
        m.close()
        assert m.closed

        def forbidden(*_):
            raise AssertionError("a system call")

        with door(forbidden), pytest.raises(ValueError, match="map hash is closed"):
            use(m)


def test_map_closed_during_a_walk_ends_it():
    """The descriptor's number may belong to another map already."""
    with load_part("map_kinds", "hash") as obj:
        m = obj.maps["hash"]
        m.update({i: i for i in range(64)})
        walk = m._walk().one_by_one()
        next(walk)
        m.close()
        with load_part("map_kinds", "hash"), pytest.raises(ValueError, match="map hash is closed"):
            list(walk)


def test_memory_that_somebody_looks_at_does_not_keep_close_from_closing():
    """The memory goes with its last view."""
    with load_part("map_kinds", "shared") as obj:
        view = memoryview(obj.maps["shared"].memory)
        obj.maps["shared"].close()
        assert obj.maps["shared"].closed
        assert view[0] == 0
        with pytest.raises(ValueError, match="map shared is closed"):
            obj.maps["shared"].memory  # noqa: B018
        view.release()


WRONG = {
    "short key": ("raw", b"ab", b"12345", "map `raw`: key of 2 bytes, expected 3"),
    "long key": ("raw", b"abcd", b"12345", "map `raw`: key of 4 bytes, expected 3"),
    "short value": ("raw", b"abc", b"1234", "map `raw`: value of 4 bytes, expected 5"),
    "number without type": ("raw", 3, b"12345", "map `raw`: key: 3 is no bytes, and BTF does not say"),
    "text without type": ("raw", b"abc", "12345", "map `raw`: value: '12345' is no bytes"),
    "no such member": ("typed", {"b": 1}, {}, "map `typed`: key: .*no member `b`; there are a, name"),
    "too large": ("typed", {"a": 1 << 32}, {}, "map `typed`: key: "),
    "not a number": ("typed", {"a": 1}, {"count": "x"}, "map `typed`: value: "),
    "short typed key": ("typed", b"123", {}, "map `typed`: key: 3 bytes, expected 12"),
}


@pytest.mark.parametrize(("name", "key", "value", "message"), WRONG.values(), ids=list(WRONG))
def test_key_or_value_that_does_not_fit_is_refused_before_the_kernel(name, key, value, message):
    """The kernel reads as many bytes as it thinks right: too few would be others' memory."""
    with load_part("maps", "raw typed") as obj:
        with pytest.raises(RecordError, match=message):
            obj.maps[name][key] = value
        with pytest.raises(RecordError, match=message):
            obj.maps[name].update([(key, value), (key, value)])
        assert len(obj.maps[name]) == 0


def test_map_without_elements_says_what_it_is():
    """A ring buffer is no dictionary."""
    with load_part("maps", "ring") as obj:
        ring = obj.maps["ring"]
        for use in (lambda: ring[0], lambda: ring.__setitem__(0, 1), lambda: ring.__delitem__(0)):
            with pytest.raises(TypeError, match="map `ring` is a RINGBUF, which has no elements"):
                use()
        with pytest.raises(AttributeError, match=r"map `ring` is a RingMap \(RINGBUF\), which has no `update`"):
            ring.update({})
        assert not hasattr(ring, "_nothing")
        assert {ring: 1}[ring] == 1


def test_id_that_nobody_has_is_enoent():
    """One above all others."""
    with load_part("map_kinds", "hash") as obj:
        assert obj.maps["hash"].id in [found.id for found in pybpfload.list_maps()]
    with pytest.raises(SyscallError, match=r"BPF_MAP_GET_FD_BY_ID 4294967295: .*ENOENT"):
        open_map((1 << 32) - 1)


@pytest.mark.slow
def test_many_cycles_leave_nothing():
    """The gate looks behind each test; this one would exhaust what a process may open."""
    spec = part("map_kinds", "hash shared")
    for _ in range(200):
        with pybpfload.load(spec) as obj:
            obj.maps["hash"][1] = 1
            assert obj.maps["shared"].memory[0] == 0
