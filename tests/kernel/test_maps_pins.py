"""Pinning, reuse of what is pinned, opening by path and id, and what the kernel says about a map."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

import pybpfload
from pybpfload._sys import pins
from pybpfload.errors import BpfError, ObjectError, PrivilegeError, SyscallError
from pybpfload.maps import ArrayMap, HashMap, MapInfo, create_map, open_map
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType
from tests.support.gates import require_tool
from tests.support.maps import load_part, part, run
from tests.support.sandbox import bpffs

pytestmark = pytest.mark.kernel


@pytest.fixture
def folder(tmp_path):
    """A bpffs."""
    with bpffs(tmp_path / "bpffs") as place:
        yield place


def test_pinned_map_outlives_its_object_and_keeps_its_types(folder):
    """Opened by its path, keys and values are what the object's BTF said."""
    path = folder / "points"
    with load_part("map_kinds", "points") as obj:
        obj.maps["points"][1, 2] = (3, 4)
        obj.maps["points"].pin(path)
    with open_map(path) as m:
        assert isinstance(m, HashMap)
        assert [(k.asdict(), v.asdict()) for k, v in m.items()] == [({"x": 1, "y": 2}, {"packets": 3, "bytes": 4})]
        assert m.name == "points"
        m.unpin(path)
    assert not path.exists()


def test_map_opened_by_id_is_the_same_map():
    """Whatever its type."""
    with load_part("map_kinds", "cpu_array shared queue routes routes6") as obj:
        for name, m in obj.maps.items():
            with open_map(m.id) as again:
                assert type(again) is type(m)
                assert again.info() == m.info()
                assert (again.key_size, again.value_size, again.max_entries, again.flags) == (
                    m.key_size, m.value_size, m.max_entries, m.flags,
                ), name  # fmt: skip
        with open_map(obj.maps["shared"].id) as again:
            again[3] = 4
            assert again.memory[24] == 4
            assert obj.maps["shared"][3] == 4


def test_info_is_what_bpftool_shows():
    """Each number, by the C library."""
    tool = require_tool("bpftool")
    with load_part("map_kinds", "points") as obj:
        info = obj.maps["points"].info()
        assert isinstance(info, MapInfo)
        command = [tool, "-j", "map", "show", "id", str(info.id)]
        shown = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        assert (shown["name"], shown["bytes_key"], shown["bytes_value"]) == (info.name, info.key_size, info.value_size)
        assert (shown["max_entries"], shown["flags"]) == (info.max_entries, info.flags)
        assert (shown["btf_id"], shown["type"], bool(shown["frozen"])) == (info.btf_id, "hash", info.frozen)
        assert shown["bytes_memlock"] == info.memory
        obj.maps["points"].freeze()
        assert obj.maps["points"].info().frozen


def test_map_opened_for_reading_cannot_be_written(folder):
    """The flag belongs to the descriptor."""
    with load_part("map_kinds", "hash") as obj:
        obj.maps["hash"][1] = 2
        with open_map(obj.maps["hash"].id, flags=MapFlag.RDONLY) as m:
            assert m[1] == 2
            with pytest.raises(PrivilegeError, match="BPF_MAP_UPDATE_ELEM hash"):
                m[1] = 3


def test_map_without_btf_opens_as_bytes(folder):
    """There is nothing to type it by."""
    with create_map(MapSpec("plain", MapType.HASH, key_size=2, value_size=3, max_entries=4)) as m:
        m[b"ab"] = b"123"
        with open_map(m.id) as again:
            assert dict(again.items()) == {b"ab": b"123"}


def test_types_that_may_not_be_read_leave_bytes(monkeypatch):
    """BTF is for the privileged: without it, the map still opens."""
    monkeypatch.setattr("pybpfload._sys.progs.btf_data", refuse)
    with load_part("map_kinds", "points") as obj, open_map(obj.maps["points"].id) as m:
        obj.maps["points"][1, 2] = (3, 4)
        assert [len(k) for k in m] == [8]


def refuse(_: int) -> bytes:
    raise PrivilegeError(1, "BPF_BTF_GET_FD_BY_ID")


def test_variables_of_another_process_open_as_bytes():
    """A section's type is no value's."""
    with load_part("maps") as obj, open_map(obj.maps[".data"].id) as m:
        assert isinstance(m, ArrayMap)
        assert m[0] == obj.maps[".data"][0]
        assert (7).to_bytes(4, "little") in m[0]


def test_pin_outside_a_bpffs_says_what_is_wrong(tmp_path):
    """The kernel says EPERM or EINVAL."""
    with load_part("map_kinds", "hash") as obj:
        with pytest.raises(SyscallError, match=r"BPF_OBJ_PIN .*/x: .*it is on a file system of type \w+, expected bpf"):
            obj.maps["hash"].pin(tmp_path / "x")
        with pytest.raises(SyscallError, match="ENOENT"):
            open_map(tmp_path / "x")


def test_filesystem_of_a_path_that_is_not_there_is_its_folders(folder, tmp_path):
    """Mount points in mount points, and signs that mountinfo escapes."""
    assert pins.filesystem(str(folder / "new" / "file")) == "bpf"
    assert pins.filesystem("/proc/self/nothing") == "proc"
    with bpffs(tmp_path / "a b\\c") as odd:
        assert pins.filesystem(str(odd)) == "bpf"


def test_pin_where_something_is_says_so(folder):
    """And a name is taken away by its owner only."""
    with load_part("map_kinds", "hash lru") as obj:
        obj.maps["hash"].pin(folder / "x")
        with pytest.raises(SyscallError, match=r"BPF_OBJ_PIN .*EEXIST"):
            obj.maps["lru"].pin(folder / "x")
        with pytest.raises(ValueError, match="is not map `lru`"):
            obj.maps["lru"].unpin(folder / "x")
        obj.maps["hash"].unpin(folder / "x")
        with pytest.raises(SyscallError, match="ENOENT"):
            obj.maps["hash"].unpin(folder / "x")


def test_program_that_is_pinned_is_no_map(folder):
    """The kernel gives a descriptor of whatever is there."""
    with load_part("map_kinds", "hash", "counts_hash") as obj:
        pins.pin(obj.programs["counts_hash"].fileno(), str(folder / "prog"))
        try:
            with pytest.raises(ObjectError, match="prog: is no map but bpf-prog"):
                open_map(folder / "prog")
        finally:
            (folder / "prog").unlink()


def test_map_pinned_by_name_is_shared_by_all_who_load_with_the_folder(folder):
    """LIBBPF_PIN_BY_NAME: the first makes it, the next find it, in a folder that need not be there before."""
    spec = part("maps", "raw typed")
    place = folder / "deep" / "er"
    with pybpfload.load(spec, pin_dir=place) as first:
        assert os.listdir(place) == ["raw"]
        first.maps["raw"][b"abc"] = b"12345"
    with pybpfload.load(spec, pin_dir=str(place)) as second:
        assert second.maps["raw"][b"abc"] == b"12345"
        assert second.maps["raw"].name == "raw"
        second.maps["raw"].unpin(place / "raw")
    with pybpfload.load(spec) as third:
        assert b"abc" not in third.maps["raw"]
        assert os.listdir(place) == []


def test_pinned_map_that_does_not_fit_is_refused_field_by_field(folder):
    """All that differs, both values."""
    spec = part("maps", "raw")
    with create_map(MapSpec("raw", MapType.HASH, key_size=4, value_size=5, max_entries=3, flags=1)) as other:
        other.pin(folder / "raw")
        with pytest.raises(ObjectError) as caught:
            pybpfload.load(spec, pin_dir=folder)
        assert str(caught.value).endswith(
            "own/raw: map `raw`: key_size is 3, the existing one has 4; max_entries is 2, the existing one has 3; "
            "flags is 0, the existing one has 0x1 (NO_PREALLOC)"
        )
        other.unpin(folder / "raw")


def test_ring_buffer_is_rounded_before_it_is_compared(folder):
    """5000 bytes become 8192 when it is made, and fit the next time."""
    spec = part("maps", "ring")
    spec.maps["ring"].pin_by_name = True
    with pybpfload.load(spec, pin_dir=folder) as first, pybpfload.load(spec, pin_dir=folder) as second:
        assert second.maps["ring"].id == first.maps["ring"].id
        second.maps["ring"].unpin(folder / "ring")


def test_device_map_fits_itself(folder):
    """The kernel adds a flag of its own."""
    spec = part("map_net", "devices")
    spec.maps["devices"].pin_by_name = True
    with pybpfload.load(spec, pin_dir=folder) as first, pybpfload.load(spec, pin_dir=folder) as second:
        assert second.maps["devices"].id == first.maps["devices"].id
        second.maps["devices"].unpin(folder / "devices")


def test_map_that_was_there_keeps_its_contents(folder):
    """Contents that the object gives are for the map that it makes."""
    spec = part("map_kinds", "hash", "counts_hash")
    spec.maps["hash"].pin_by_name = True
    with pybpfload.load(spec, pin_dir=folder) as first, pybpfload.load(spec, pin_dir=folder) as second:
        run(first.programs["counts_hash"])
        run(second.programs["counts_hash"])
        assert second.maps["hash"][7] == 2
        first.maps["hash"].unpin(folder / "hash")


def test_load_that_fails_takes_its_new_pins_away_and_leaves_the_old(folder):
    """Nothing is left of an object that did not come to be."""
    spec = part("map_kinds", "hash lru", "counts_hash")
    spec.maps["hash"].pin_by_name = spec.maps["lru"].pin_by_name = True
    with pybpfload.load(part_of_hash(), pin_dir=folder) as old:
        spec.license = ""
        spec.programs["counts_hash"].type = pybpfload.uapi.ProgType.KPROBE
        spec.maps["array"].autocreate = True
        spec.maps["array"].value_size = 0
        with pytest.raises(BpfError):
            pybpfload.load(spec, pin_dir=folder)
        assert os.listdir(folder) == ["hash"]
        old.maps["hash"].unpin(folder / "hash")


def part_of_hash() -> pybpfload.ObjectSpec:
    spec = part("map_kinds", "hash")
    spec.maps["hash"].pin_by_name = True
    return spec
