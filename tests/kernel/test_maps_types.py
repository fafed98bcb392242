"""Every type of map: it is created, gets its class, and opens again; and maps that hold maps and programs."""

from __future__ import annotations

import errno
import mmap
import os
import struct

import pytest

import pybpfload
from pybpfload.errors import RecordError, SyscallError, UnsupportedError
from pybpfload.features import base, find, has
from pybpfload.maps import Map, MapArray, MapHash, SlotMap, create_map, open_map
from pybpfload.maps.table import TABLE
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType, ProgType
from tests.support.maps import load_part, part
from tests.support.needs import needs, uses
from tests.support.objects import read

pytestmark = pytest.mark.kernel

# Type -> key size, value size, entries, flags, where they are not 4, 4, 4 and none.
SHAPES = {
    MapType.STACK_TRACE: (4, 80, 4, 0),
    MapType.LPM_TRIE: (8, 4, 4, MapFlag.NO_PREALLOC),
    MapType.CGROUP_STORAGE: (8, 4, 0, 0),
    MapType.PERCPU_CGROUP_STORAGE: (8, 4, 0, 0),
    MapType.QUEUE: (0, 4, 4, 0),
    MapType.STACK: (0, 4, 4, 0),
    MapType.BLOOM_FILTER: (0, 4, 4, 0),
    MapType.RINGBUF: (0, 0, 1, 0),
    MapType.USER_RINGBUF: (0, 0, 1, 0),
    MapType.ARENA: (0, 0, 4, MapFlag.MMAPABLE),
    MapType.INSN_ARRAY: (4, 16, 4, 0),
    MapType.RHASH: (4, 4, 4, MapFlag.NO_PREALLOC),
}
# Those that take more than sizes: their own tests have them.
MADE_BY_LOAD = {
    MapType.SK_STORAGE: ("map_things", "of_socket"),
    MapType.INODE_STORAGE: ("map_things", "of_inode"),
    MapType.TASK_STORAGE: ("map_things", "of_task"),
    MapType.CGRP_STORAGE: ("map_things", "of_cgroup"),
    MapType.ARRAY_OF_MAPS: ("nested", "outer first second"),
    MapType.HASH_OF_MAPS: ("nested", "empty"),
    MapType.STRUCT_OPS: ("struct_ops", "plain"),
}
TYPES = [pytest.param(kind, marks=needs(f"map:{kind.name.lower()}"), id=kind.name) for kind in TABLE]


def test_table_has_every_type():
    """What the kernel's enum has, but for the one that says nothing."""
    assert list(TABLE) == [kind for kind in MapType if kind is not MapType.UNSPEC]


@pytest.mark.parametrize("kind", TYPES)
def test_type_is_created_and_opened_again_with_its_class(kind):
    """By us and by the kernel it is the same: class, sizes, flags."""
    if kind in MADE_BY_LOAD:
        name, maps = MADE_BY_LOAD[kind]
        programs = "ssthresh cong_avoid undo_cwnd" if kind is MapType.STRUCT_OPS else ""
        with pybpfload.load(part(name, maps, programs)) as obj:
            compare(obj.maps[maps.split()[0]], kind)
    else:
        key, value, entries, flags = SHAPES.get(kind, (4, 4, 4, 0))
        spec = MapSpec("one", kind, key_size=key, value_size=value, max_entries=entries, flags=flags)
        with create_map(spec, name="another") as m:
            assert (m.name, m.info().name) == ("one", "another")
            compare(m, kind)


def compare(m: Map, kind: MapType) -> None:
    info = m.info()
    assert (m.type, info.type) == (kind, kind)
    assert type(m) is TABLE[kind].cls
    assert repr(m) == f"<{TABLE[kind].cls.__name__} {m.name} {kind.name}>"
    assert (info.key_size, info.value_size, info.max_entries) == (m.key_size, m.value_size, m.max_entries)
    assert m.flags & info.flags == m.flags
    with open_map(info.id) as again:
        assert type(again) is type(m)
        assert again.id == m.id


@pytest.mark.parametrize("kind", [kind for kind in TABLE if kind not in MADE_BY_LOAD], ids=lambda kind: kind.name)
def test_type_that_the_kernel_lacks_is_unsupported(kind):
    """With the version that it came with; other refusals keep their errno."""
    name = f"map:{kind.name.lower()}"
    if has(name):
        return
    key, value, entries, flags = SHAPES.get(kind, (4, 4, 4, 0))
    with pytest.raises((UnsupportedError, SyscallError)) as caught:
        create_map(MapSpec("one", kind, key_size=key, value_size=value, max_entries=entries, flags=flags))
    error = caught.value
    if isinstance(error, UnsupportedError):
        assert (error.feature, error.since) == (find(name).title, find(name).since)
    else:
        assert error.errno != errno.EINVAL


def test_ring_sizes_are_whole_pages_and_powers_of_two():
    """The kernel refuses others."""
    for wanted, made in ((0, 1), (1, 1), (mmap.PAGESIZE + 1, 2), (5 * mmap.PAGESIZE, 8)):
        with create_map(MapSpec("ring", MapType.RINGBUF, max_entries=wanted)) as m:
            assert m.max_entries == made * mmap.PAGESIZE


@uses("map:array_of_maps")
def test_array_of_maps_takes_maps_and_gives_ids():
    """A map, its descriptor or its bytes; what is read opens as the map it is."""
    with pybpfload.load(read("nested")) as obj:
        outer, first, second = obj.maps["outer"], obj.maps["first"], obj.maps["second"]
        assert isinstance(outer, MapArray)
        assert dict(outer) == {0: first.id, 2: second.id, 3: first.id}
        outer[1] = second
        outer[0] = second.fileno()
        outer[3] = struct.pack("=I", second.fileno())
        assert set(outer.values()) == {second.id}
        second[2] = 77
        with outer.inner(1) as inner:
            assert inner[2] == 77
        del outer[1]
        with pytest.raises(KeyError):
            outer.inner(1)
        assert outer.pop(2) == second.id
        assert sorted(outer) == [0, 3]
        with pytest.raises(RecordError, match="map `outer`: value: 'second' is no bytes"):
            outer[0] = "second"


@uses("map:hash_of_maps")
def test_hash_of_maps_takes_maps_and_gives_ids():
    """Keys are typed as in any hash; inner maps have to be like the template."""
    with pybpfload.load(read("nested")) as obj:
        outer = obj.maps["empty"]
        assert isinstance(outer, MapHash)
        with create_map(MapSpec("inner", MapType.HASH, key_size=2, value_size=2, max_entries=5)) as inner:
            outer.update({7: inner, 8: inner})
            assert dict(outer.items()) == {7: inner.id, 8: inner.id}
            inner[b"ab"] = b"cd"
            with outer.inner(7) as again:
                assert dict(again.items()) == {b"ab": b"cd"}
            assert outer.pop(8) == inner.id
            outer.clear()
            assert not outer
        with pytest.raises(SyscallError, match=r"BPF_MAP_UPDATE_ELEM empty: .*EINVAL"):
            outer[1] = obj.maps["first"]


@uses("map:prog_array")
def test_program_array_takes_programs_and_leads_tail_calls():
    """Written are programs, read are their ids; an empty slot means that the call goes on."""
    maps, programs = "first second outer empty tails", "jumps tail_one tail_two"
    with load_part("nested", maps, programs, targ_tgid=os.getpid()) as obj:
        tails = obj.maps["tails"]
        assert isinstance(tails, SlotMap)
        assert sorted(tails) == [1, 2]
        tails[2] = obj.programs["tail_one"]
        assert tails[2] == tails[1]
        with pybpfload.attach(obj.programs["jumps"]):
            os.getppid()
            assert 0 < obj.variables["reached"] < 1000
            del tails[2]
            before = obj.variables["reached"]
            os.getppid()
            assert obj.variables["reached"] == before
        with pytest.raises(SyscallError, match="BPF_MAP_UPDATE_ELEM tails"):
            tails[0] = obj.maps["first"]
        tails[0] = obj.programs["tail_two"]
        tails.clear()
        assert not tails


@needs("map:insn_array", "fd_array_cnt")
@uses("map:insn_array")
def test_instruction_array_says_where_instructions_went():
    """Set to places in a program, frozen, given to it: then the verifier fills in where they are now."""
    spec = MapSpec("places", MapType.INSN_ARRAY, key_size=4, value_size=16, max_entries=2)
    with create_map(spec) as m:
        m.update({0: struct.pack("=IIII", 0, 0, 0, 0), 1: struct.pack("=IIII", 1, 0, 0, 0)})
        m.freeze()
        with base.program(ProgType.SOCKET_FILTER, *base.EXIT_0, fd_array=(m.fileno(),), fd_array_cnt=1):
            assert [struct.unpack("=IIII", raw)[:2] for raw in m] == [(0, 0), (1, 1)]


@needs("map:arena")
@uses("map:arena")
def test_arena_is_memory():
    """Its pages come to be when they are touched."""
    with create_map(MapSpec("arena", MapType.ARENA, max_entries=4, flags=MapFlag.MMAPABLE)) as m:
        assert len(m.memory) == 4 * mmap.PAGESIZE
        m.memory[-1] = 5
        assert m.memory[-1] == 5
        with pytest.raises(TypeError, match="map `arena` is a ARENA, which has no elements"):
            m[0]
    with load_part("map_kinds", "hash") as obj, pytest.raises(AttributeError, match="has no `memory`"):
        obj.maps["hash"].memory  # noqa: B018
