"""Finding objects in the bytes of other files."""

from __future__ import annotations

import pytest

from tests.support.embedded import embedded_objects, extract, object_size
from tests.support.objects import path_of

OBJECT = path_of("subprogs").read_bytes()


def test_embedded_objects_are_found_whole(tmp_path):
    """Two in one file, between other bytes: each from its first to its last byte."""
    host = tmp_path / "tool"
    other = path_of("maps").read_bytes()
    host.write_bytes(b"\x7fELF\x02\x01" + bytes(100) + OBJECT + b"\x7fELF" + other + bytes(3))
    assert [found.data for found in embedded_objects(host)] == [OBJECT, other]


@pytest.mark.parametrize("cut", [10, 63, 64, len(OBJECT) // 2, len(OBJECT) - 1])
def test_embedded_object_that_is_cut_off_is_none(cut):
    """What does not end within the file is no object."""
    assert object_size(OBJECT[:cut], 0) == 0
    assert object_size(OBJECT, 0) == len(OBJECT)


def test_embedded_executable_is_no_object(tmp_path):
    """Only relocatable files for BPF count."""
    host = tmp_path / "tool"
    host.write_bytes(OBJECT[:18] + b"\x3e\x00" + OBJECT[20:])
    assert embedded_objects(host) == []


def test_extract_writes_each_object_once(tmp_path):
    """Tools that are built from the same source carry the same object."""
    hosts = [tmp_path / name for name in ("one", "two", "three.bpf.o")]
    for host in hosts:
        host.write_bytes(OBJECT)
    hosts[1].write_bytes(OBJECT + path_of("maps").read_bytes())
    names = [path.name for path in extract(hosts, tmp_path / "objects")]
    assert names == ["one.bpf.o", "two-1.bpf.o"]
