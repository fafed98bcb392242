"""Each kind of map that holds plain data, used from user space and by a program."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from pybpfload.errors import PrivilegeError, RecordError, SyscallError
from pybpfload.features import has
from pybpfload.maps import PerCpu, possible_cpus
from pybpfload.uapi import UpdateFlag
from tests.support.gates import require_tool
from tests.support.maps import PACKET, load_part, run
from tests.support.needs import needs, uses

pytestmark = pytest.mark.kernel

SIZE = len(PACKET)


HASHES = {"hash": "map:hash", "lru": "map:lru_hash", "resizable": "map:rhash"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=uses(row)) for name, row in HASHES.items()])
def test_hash_of_numbers_is_a_dictionary_that_a_program_shares(name):
    """Both sides see what the other wrote; the dictionary's whole set of methods works."""
    with load_part("map_kinds", name, f"counts_{name}") as obj:
        m, program = obj.maps[name], obj.programs[f"counts_{name}"]
        assert not m
        assert run(program) == 0
        assert m
        assert m[7] == 1
        m[7] = 10
        run(program)
        assert dict(m.items()) == {7: 11}
        m.update({i: i * i for i in range(20)})
        assert sorted(m) == list(range(20))
        assert len(m) == 20
        assert sorted(m.values()) == [i * i for i in range(20)]
        assert m.pop(7) == 49
        assert m.pop(7, "gone") == "gone"
        with pytest.raises(KeyError):
            m.pop(7)
        assert m.get(7) is None
        assert m.setdefault(7, 3) == 3
        assert m.setdefault(7, 4) == 3
        assert 7 in m
        del m[7]
        assert 7 not in m
        with pytest.raises(KeyError):
            del m[7]
        key, value = m.popitem()
        assert value == key * key
        assert len(dict(m.drain())) == 18
        assert not m
        m[1] = 2
        m.clear()
        assert list(m.items()) == []
        with pytest.raises(KeyError, match="is empty"):
            m.popitem()


def test_hash_of_structs_takes_and_gives_records():
    """Struct keys can be used as keys of dictionaries of Python, too."""
    with load_part("map_kinds", "points", "counts_points") as obj:
        run(obj.programs["counts_points"])
        ((key, value),) = obj.maps["points"].items()
        assert key.asdict() == {"x": SIZE, "y": 1}
        assert value.asdict() == {"packets": 1, "bytes": SIZE}
        assert {key: value}[(SIZE, 1)] == value
        obj.maps["points"].update([({"x": 1}, {"packets": 2}), ((3, 4), (5, 6))])
        assert obj.maps["points"][{"x": 1, "y": 0}].packets == 2
        assert obj.maps["points"][3, 4] == (5, 6)


def test_hash_flags_reach_the_kernel():
    """NOEXIST and EXIST decide between making and changing."""
    with load_part("map_kinds", "hash") as obj:
        m = obj.maps["hash"]
        with pytest.raises(SyscallError, match=r"BPF_MAP_UPDATE_ELEM hash: .*ENOENT"):
            m.put(1, 1, flags=UpdateFlag.EXIST)
        m.put(1, 1, flags=UpdateFlag.NOEXIST)
        with pytest.raises(SyscallError, match="EEXIST"):
            m.put(1, 2, flags=UpdateFlag.NOEXIST)
        m.put(1, 3, flags=UpdateFlag.EXIST)
        assert m[1] == 3


def test_hash_that_is_full_says_so():
    """And what fitted in is there."""
    with load_part("map_kinds", "hash") as obj, pytest.raises(SyscallError, match="E2BIG"):
        obj.maps["hash"].update((i, i) for i in range(1000))


def test_value_with_a_spin_lock_is_read_and_written_under_it():
    """UpdateFlag.LOCK on both sides."""
    with load_part("map_kinds", "guarded", "locks") as obj:
        m = obj.maps["guarded"]
        m[7] = {"value": 5}
        run(obj.programs["locks"])
        m.put(8, {"value": 6}, flags=UpdateFlag.NOEXIST)
        assert m.get(7, flags=UpdateFlag.LOCK).value == 6
        m.put(7, {"value": 70}, flags=UpdateFlag.LOCK)
        assert m[7].value == 70


@uses("map:percpu_hash")
def test_per_cpu_hash_has_a_value_for_each_cpu():
    """They come as a list that can be added up."""
    with load_part("map_kinds", "cpu_hash", "counts_cpu_hash") as obj:
        m = obj.maps["cpu_hash"]
        run(obj.programs["counts_cpu_hash"])
        run(obj.programs["counts_cpu_hash"])
        assert isinstance(m[7], PerCpu)
        assert len(m[7]) == possible_cpus()
        # The first run made the entry on one CPU, the second may count on another.
        assert m[7].sum() == 2
        m[8] = range(possible_cpus())
        assert m[8] == list(range(possible_cpus()))
        assert (m[8].min(), m[8].max()) == (0, possible_cpus() - 1)
        assert dict(m.items())[8] == m[8]
        m.update({9: [1] * possible_cpus(), 10: [2] * possible_cpus()})
        assert m.pop(9).sum() == possible_cpus()
        assert sorted(key for key, _ in m.drain()) == [7, 8, 10]
        with pytest.raises(RecordError, match=r"map `cpu_hash`: one value, expected a list of \d+, one for each"):
            m[7] = 5


@uses("map:lru_percpu_hash")
def test_per_cpu_lru_pads_small_values():
    """Values of four bytes lie eight apart."""
    with load_part("map_kinds", "cpu_lru", "counts_cpu_lru") as obj:
        run(obj.programs["counts_cpu_lru"])
        assert obj.maps["cpu_lru"][7].sum() == 1
        values = list(range(100, 100 + possible_cpus()))
        obj.maps["cpu_lru"][1] = values
        assert obj.maps["cpu_lru"][1] == values
        assert dict(obj.maps["cpu_lru"].items())[1] == values


@uses("map:percpu_array")
def test_per_cpu_array_of_structs_adds_up_by_member():
    """The sum names what it adds."""
    with load_part("map_kinds", "cpu_array", "counts_cpu_array") as obj:
        m = obj.maps["cpu_array"]
        for _ in range(3):
            assert run(obj.programs["counts_cpu_array"]) == 0
        assert m[7].sum("packets") == 3
        assert m[7].max("bytes") <= 3 * SIZE
        assert m[7].sum("bytes") == 3 * SIZE
        assert len(m) == 64
        assert sum(values.sum("packets") for values in m) == 3
        m.clear()
        assert m[7].sum("packets") == 0
        m[1:3] = [[(1, 1)] * possible_cpus()] * 2
        assert [v.sum("bytes") for v in m[:4]] == [0, possible_cpus(), possible_cpus(), 0]


@uses("map:array")
def test_array_is_a_sequence_whose_elements_can_be_set():
    """Indices, slices, search; and nothing can be added or removed."""
    with load_part("map_kinds", "array", "counts_array") as obj:
        m = obj.maps["array"]
        run(obj.programs["counts_array"])
        assert m[7] == 1
        assert list(m) == [0] * 7 + [1] + [0] * 56
        m[-1] = 5
        assert (m[63], m[-1], len(m)) == (5, 5, 64)
        m[10:13] = [1, 2, 3]
        assert m[9:14] == [0, 1, 2, 3, 0]
        assert m[14:9:-2] == [0, 3, 1]
        assert m[5:5] == []
        m.update({20: 7, 21: 8})
        assert (m.index(8), m.count(7), 8 in m, 99 in m) == (21, 1, True, False)
        assert dict(m.items())[20] == 7
        assert list(reversed(m))[:2] == [5, 0]
        assert m[bytes([20, 0, 0, 0])] == 7
        for index in (64, -65):
            with pytest.raises(IndexError, match="is not within its 64 elements"):
                m[index]
        assert m.get(64, "none") == "none"
        with pytest.raises(TypeError, match="cannot be deleted"):
            del m[0]
        with pytest.raises(ValueError, match="1 values for 2 elements"):
            m[0:2] = [1]
        with pytest.raises(RecordError, match="key 'x' is no number"):
            m["x"]
        m.clear()
        assert not any(m)


def test_mapped_array_is_memory_that_both_sides_see():
    """No system call, in both directions. An element takes a multiple of eight bytes."""
    with load_part("map_kinds", "shared array", "counts_shared") as obj:
        m = obj.maps["shared"]
        memory = m.memory
        memory[7 * 8 : 7 * 8 + 4] = (41).to_bytes(4, "little")
        assert m[7] == 41
        run(obj.programs["counts_shared"])
        assert memory[7 * 8] == 42
        with pytest.raises(TypeError, match="map `array` was created without MMAPABLE"):
            obj.maps["array"].memory  # noqa: B018
        with pytest.raises(SyscallError, match=r"BPF_MAP_FREEZE shared: .*EBUSY"):
            m.freeze()
    assert memory.closed


def test_frozen_array_is_read_only_memory():
    """User space cannot write any more, on either way; programs can."""
    with load_part("map_kinds", "shared", "counts_shared") as obj:
        m = obj.maps["shared"]
        m[7] = 1
        m.freeze()
        assert m.info().frozen
        with pytest.raises(PrivilegeError, match="BPF_MAP_UPDATE_ELEM shared"):
            m[7] = 2
        with pytest.raises(TypeError, match=r"read-?only"):
            m.memory[0] = 1
        run(obj.programs["counts_shared"])
        assert m.memory[56] == 2


@uses("map:lpm_trie")
def test_trie_finds_the_longest_prefix():
    """Written as people write networks; a program looks an address up."""
    with load_part("map_kinds", "routes routes6", "finds_route") as obj:
        m = obj.maps["routes"]
        m["10.0.0.0/8"] = 8
        assert run(obj.programs["finds_route"]) == 8
        m[ip_network("10.1.0.0/16")] = 16
        m[16, b"\x0a\x02"] = 162
        m[{"length": 0}] = 1
        assert run(obj.programs["finds_route"]) == 16
        assert m["10.1.200.7"] == 16
        assert m[ip_address("10.2.0.1")] == 162
        assert m["10.9.0.0/16"] == 8
        assert m["8.8.8.8"] == 1
        assert {m.network(key): value for key, value in m.items()} == {
            IPv4Network("10.0.0.0/8"): 8,
            IPv4Network("10.1.0.0/16"): 16,
            IPv4Network("10.2.0.0/16"): 162,
            IPv4Network("0.0.0.0/0"): 1,
        }
        assert {key.length for key in m} == {0, 8, 16}
        assert len(m) == 4
        del m["10.1.0.0/16"]
        assert run(obj.programs["finds_route"]) == 8
        m.update({"1.0.0.0/8": 1, "2.0.0.0/8": 2})
        assert m.pop("2.0.0.0/8") == 2
        m.clear()
        assert list(m) == []


def test_trie_of_long_addresses_takes_them_only():
    """Sixteen bytes are an IPv6 address, and never an IPv4 one."""
    with load_part("map_kinds", "routes routes6") as obj:
        m = obj.maps["routes6"]
        m["2001:db8::/32"] = 6
        assert m["2001:db8::1"] == 6
        assert "2001:db9::1" not in m
        assert [m.network(key) for key in m] == [IPv6Network("2001:db8::/32")]
        with pytest.raises(RecordError, match="map `routes6`: an address of 4 bytes, expected 16"):
            m["10.0.0.0/8"] = 1
        with pytest.raises(RecordError, match="map `routes6`: key: 'nonsense' does not appear to be"):
            m["nonsense"]
        with pytest.raises(RecordError, match="129 bits and 1 bytes"):
            m[129, b"x"] = 1


@uses("map:queue")
def test_queue_is_first_in_first_out():
    """A program puts in, we take out."""
    with load_part("map_kinds", "queue", "queues") as obj:
        m = obj.maps["queue"]
        assert not m
        with pytest.raises(IndexError, match="map `queue` is empty"):
            m.pop()
        with pytest.raises(IndexError, match="map `queue` is empty"):
            m.peek()
        m.push({"x": 1})
        assert run(obj.programs["queues"]) == 0
        assert m.peek() == (1, 0)
        assert m.pop() == (1, 0)
        assert m.pop().asdict() == {"x": SIZE, "y": 2}
        for i in range(8):
            m.push((i, i))
        with pytest.raises(SyscallError, match="E2BIG"):
            m.push((8, 8))
        m.push((8, 8), replace=True)
        assert [point.x for point in m.drain()] == list(range(1, 9))
        with pytest.raises(TypeError, match="map `queue` is a QUEUE, which has no elements"):
            m[0]
        with pytest.raises(AttributeError, match=r"is a QueueMap \(QUEUE\), which has no `items`"):
            m.items()


@uses("map:stack")
def test_stack_is_last_in_first_out():
    """A program takes the youngest out and puts its successor in."""
    with load_part("map_kinds", "stack", "stacks") as obj:
        m = obj.maps["stack"]
        m.push(1)
        m.push(2)
        assert run(obj.programs["stacks"]) == 0
        assert m
        assert (m.pop(), m.pop()) == (3, 1)
        assert list(m.drain()) == []


@needs("map:bloom_filter")
@uses("map:bloom_filter")
def test_bloom_filter_never_forgets():
    """What was put in, on either side, is in it; most of the rest is not."""
    with load_part("map_kinds", "bloom", "blooms") as obj:
        m = obj.maps["bloom"]
        assert 7 not in m
        assert run(obj.programs["blooms"]) == -1
        m.push(7)
        m.update([8, 10])
        assert run(obj.programs["blooms"]) == 0
        assert all(value in m for value in (7, 8, 9, 10))
        assert sum(value in m for value in range(1000, 2000)) < 500
        with pytest.raises(RecordError, match="map `bloom`: value"):
            m.push("text")


def test_bpftool_dumps_what_was_written():
    """The same entries, by the C library."""
    tool = require_tool("bpftool")
    with load_part("map_kinds", "hash points cpu_hash routes") as obj:
        obj.maps["hash"].update({i: i + 1 for i in range(10)})
        obj.maps["points"].update({(1, 2): (3, 4)})
        obj.maps["cpu_hash"][5] = list(range(possible_cpus()))
        obj.maps["routes"]["10.0.0.0/8"] = 9

        def dump(name):
            command = [tool, "-j", "map", "dump", "id", str(obj.maps[name].id)]
            return [
                e["formatted"] for e in json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            ]

        assert {e["key"]: e["value"] for e in dump("hash")} == dict(obj.maps["hash"].items())
        assert dump("points") == [{"key": {"x": 1, "y": 2}, "value": {"packets": 3, "bytes": 4}}]
        assert [v["value"] for v in dump("cpu_hash")[0]["values"]] == obj.maps["cpu_hash"][5]
        assert dump("routes") == [{"key": {"length": 8, "address": [10, 0, 0, 0]}, "value": 9}]


def test_rows_agree_with_what_pop_does():
    """The kernel says whether it can read and delete in one step; without, the result is the same."""
    with load_part("map_kinds", "hash routes") as obj:
        calls = []
        m = obj.maps["hash"]
        m[1] = 2
        original = m._take
        m._take = lambda key: calls.append(key) or original(key)
        assert m.pop(1) == 2
        assert len(calls) == has("lookup_and_delete")
