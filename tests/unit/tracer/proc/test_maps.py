"""Executable mappings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tracer.proc import maps, reader
from tracer.proc.maps import Mapping, executable_mappings, open_path, parse_mapping


def test_parse_mapping_of_a_library():
    """Path, device, inode, addresses."""
    line = b"7f0000001000-7f0000002000 r-xp 00026000 fe:01 1234                       /usr/lib/libc.so.6"
    assert parse_mapping(line) == Mapping(
        "/usr/lib/libc.so.6", (0xFE, 1), 1234, deleted=False, start=0x7F0000001000, end=0x7F0000002000
    )


@pytest.mark.parametrize(
    ("name", "path", "deleted"),
    [
        (b"/lib/x.so (deleted)", "/lib/x.so", True),
        (b"/lib/with space.so", "/lib/with space.so", False),
        (b"/lib/new\\012line.so", "/lib/new\nline.so", False),
        (b"/lib/\xff.so", "/lib/\udcff.so", False),
    ],
)
def test_parse_mapping_of_special_names(name, path, deleted):
    """Deleted files, spaces, newlines, names that are no UTF-8."""
    found = parse_mapping(b"1000-2000 r-xp 0 00:01 7 " + name)
    assert found is not None
    assert (found.path, found.deleted) == (path, deleted)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1000-2000 r--p 0 00:01 7 /lib/x.so",
        b"1000-2000 r-xp 0 00:01 7",
        b"1000-2000 r-xp 0 00:01 0 [vdso]",
        b"1000 r-xp 0 00:01 7 /x",
        b"1000-2000 r-xp 0 0001 7 /x",
        b"1000-2000 r-xp 0 00:01 seven /x",
        b"1000-2000-3000 r-xp 0 00:01 7 /x",
    ],
)
def test_parse_mapping_of_anything_else_is_none(line):
    """Data, memory without a file, and what the kernel would not write."""
    assert parse_mapping(line) is None


def test_executable_mappings_of_a_process_are_those_of_its_libraries():
    """A second opinion: what the dynamic loader of a child says it mapped."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        child.stdout.readline()
        found = executable_mappings(child.pid)
        exe = os.readlink(f"/proc/{child.pid}/exe")
        child.stdin.close()
    paths = [mapping.path for mapping in found]
    assert exe in paths
    assert any("libc" in os.path.basename(path) for path in paths)
    assert len(set(paths)) == len(paths)
    for mapping in found:
        assert os.stat(mapping.path).st_ino == mapping.inode


def test_executable_mappings_of_no_process_raises_gone():
    """The one way to say so."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(reader.GoneError):
        executable_mappings(child.pid)


def test_executable_mappings_are_bounded(monkeypatch):
    """A process with more mappings than anybody has is read up to a limit."""
    monkeypatch.setattr(maps, "MAX_BYTES", 1)
    monkeypatch.setattr(maps, "CHUNK", 256)
    assert len(executable_mappings(os.getpid())) <= 3


@pytest.mark.kernel
def test_open_path_gives_the_file_although_it_is_deleted(tmp_path):
    """The name is gone, the mapping is not."""
    library = tmp_path / "libssl.so.9"
    library.write_bytes(b"\x7fELF" + bytes(4092))
    code = (
        "import mmap, sys; f = open(sys.argv[1], 'rb'); "
        "m = mmap.mmap(f.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC); "
        "print('up', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, str(library)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        child.stdout.readline()
        library.unlink()
        found = [mapping for mapping in executable_mappings(child.pid) if mapping.path == str(library)]
        with open(open_path(child.pid, found[0]), "rb") as file:
            content = file.read(4)
        child.stdin.close()
    assert [mapping.deleted for mapping in found] == [True]
    assert content == b"\x7fELF"
