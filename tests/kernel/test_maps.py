"""Maps on the real kernel."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

import pybpfload
from pybpfload.errors import ObjectError, PrivilegeError, RecordError, SyscallError
from pybpfload.maps import possible_cpus
from pybpfload.uapi import UpdateFlag
from tests.support.gates import require_tool
from tests.support.maps import load_part, part, run
from tests.support.objects import read

pytestmark = pytest.mark.kernel


@pytest.fixture
def maps():
    """The maps of maps.bpf.c, without its program."""
    spec = read("maps")
    spec.programs["uses_all"].autoload = False
    with pybpfload.load(spec) as obj:
        yield obj.maps


KEY = {"a": 1, "name": "one"}


def test_hash_write_read_delete(maps):
    """A hash is a dictionary with typed keys and values."""
    typed = maps["typed"]
    typed[KEY] = {"count": 5, "delta": -1}
    assert typed[KEY] == (5, -1, 0)
    assert KEY in typed
    assert [k.asdict() for k in typed] == [{"a": 1, "name": b"one"}]
    assert len(typed) == 1
    del typed[KEY]
    assert KEY not in typed
    with pytest.raises(KeyError):
        typed[KEY]
    with pytest.raises(KeyError):
        del typed[KEY]


def test_hash_takes_bytes_as_they_are(maps):
    """Bytes of the right size need no type."""
    maps["raw"][b"abc"] = b"12345"
    assert maps["raw"][b"abc"] == b"12345"
    with pytest.raises(RecordError, match="map `raw`: key of 2 bytes, expected 3"):
        maps["raw"][b"ab"] = b"12345"


def test_hash_noexist_on_an_existing_key_keeps_its_errno(maps):
    """Flags go to the kernel, and its errno comes back."""
    maps["typed"][KEY] = {"count": 1}
    with pytest.raises(SyscallError, match="BPF_MAP_UPDATE_ELEM typed") as caught:
        maps["typed"].put(KEY, {"count": 2}, flags=UpdateFlag.NOEXIST)
    assert caught.value.errno == 17


def test_per_cpu_values_are_lists(maps):
    """One value for each possible CPU."""
    values = list(range(100, 100 + possible_cpus()))
    maps["per_cpu"][7] = values
    assert maps["per_cpu"][7] == values
    assert maps["per_cpu"][7].sum() == sum(values)


def test_ring_size_is_rounded_up(maps):
    """5000 is no power of two: the kernel would refuse it."""
    assert maps["ring"].max_entries == 8192


def test_iteration_while_keys_vanish_ends(maps):
    """Deleting what was just seen neither hangs nor raises."""
    for i in range(100):
        maps["typed"][{"a": i}] = {"count": i}
    seen = 0
    for key in maps["typed"]:
        del maps["typed"][key]
        seen += 1
    assert 0 < seen <= 100 + 28


def test_frozen_data_cannot_be_written(maps):
    """.rodata is what the verifier has seen: it stays so."""
    with pytest.raises(PrivilegeError, match=r"BPF_MAP_UPDATE_ELEM \.rodata"):
        maps[".rodata"][bytes(4)] = bytes(maps[".rodata"].value_size)


def test_bpftool_sees_names_types_and_values(maps):
    """Bpftool decodes our map with the BTF that we loaded."""
    tool = require_tool("bpftool")
    maps["typed"][KEY] = {"count": 5, "delta": -1}
    text = subprocess.run([tool, "-j", "map", "dump", "id", str(maps["typed"].id)], capture_output=True, check=True)
    (entry,) = json.loads(text.stdout)
    assert entry["formatted"] == {"key": {"a": 1, "name": "one"}, "value": {"count": 5, "delta": -1, "pad": 0}}


def test_map_shared_with_another_object_is_one_map():
    """maps= puts an existing map in the place of a new one."""
    with load_part("map_kinds", "hash", "counts_hash") as first:
        spec = part("map_kinds", "hash", "counts_hash")
        with pybpfload.load(spec, maps={"hash": first.maps["hash"]}) as second:
            assert second.maps["hash"].id == first.maps["hash"].id
            run(second.programs["counts_hash"])
        assert first.maps["hash"][7] == 1


def test_map_shared_that_does_not_fit_is_refused(maps):
    """The error names each property that differs."""
    expected = r"map `hash`: key_size is 4, the existing one has 12; value_size is 8, the existing one has 16"
    with pytest.raises(ObjectError, match=expected):
        pybpfload.load(part("map_kinds", "hash"), maps={"hash": maps["typed"]})
    with pytest.raises(ObjectError, match=r"map `hash`: type is HASH, the existing one has PERCPU_HASH; value_size"):
        pybpfload.load(part("map_kinds", "hash"), maps={"hash": maps["per_cpu"]})


def test_closed_map_says_so(maps):
    """Using what was closed is a clear error, never a call on someone else's descriptor."""
    maps["raw"].close()
    maps["raw"].close()
    with pytest.raises(ValueError, match="map raw is closed"):
        maps["raw"][b"abc"]


def test_possible_cpus_is_what_the_kernel_counts():
    """Sysconf asks the same file, through libc."""
    assert possible_cpus() == os.sysconf("SC_NPROCESSORS_CONF")
