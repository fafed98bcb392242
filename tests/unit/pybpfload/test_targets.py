"""Where BTF comes from."""

from __future__ import annotations

import os

import pytest

from pybpfload import read_btf, targets
from pybpfload.btf import Kind
from pybpfload.errors import BtfError, UnsupportedError
from tests.support.objects import path_of
from tests.support.types import Types


def blob() -> bytes:
    """Just an int."""
    made = Types()
    made.int("int")
    return made.blob()


def test_read_btf_from_bytes_file_and_elf_is_the_same(tmp_path):
    """Raw or inside an ELF file, as bytes or as a path."""
    raw = tmp_path / "raw.btf"
    raw.write_bytes(blob())
    assert read_btf(raw).find("int", Kind.INT) == read_btf(blob()).find("int", Kind.INT)
    elf = path_of("core")
    assert list(read_btf(elf)) == list(read_btf(elf.read_bytes()))


def test_read_btf_from_a_directory_takes_the_running_release(tmp_path):
    """A directory of many kernels, as BTFHub's."""
    (tmp_path / f"{os.uname().release}.btf").write_bytes(blob())
    assert read_btf(tmp_path).find("int", Kind.INT)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"hello world", "neither BTF nor ELF: it begins with 68 65 6c 6c"), (b"", "begins with nothing")],
)
def test_read_btf_of_something_else_says_what_it_is(tmp_path, content, message):
    """The first bytes tell."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(BtfError, match=message):
        read_btf(path)


def test_read_btf_of_an_executable_without_btf_says_so():
    """Most ELF files have none."""
    with pytest.raises(BtfError, match=r"/bin/true: no \.BTF section"):
        read_btf("/bin/true")


def test_read_btf_of_a_directory_without_any_names_what_it_looked_for(tmp_path):
    """The names are in the message."""
    with pytest.raises(BtfError, match=r"holds none of vmlinux, "):
        read_btf(tmp_path)


def test_find_kernel_searches_all_places_in_order(tmp_path, monkeypatch):
    """The first that exists is taken; when none does, the error lists them all."""
    places = [str(tmp_path / "a-{}"), str(tmp_path / "b-{}")]
    monkeypatch.setattr(targets, "VMLINUX_PATHS", places)
    with pytest.raises(UnsupportedError) as caught:
        targets._find_kernel()
    assert all(place.format(os.uname().release) in str(caught.value) for place in places)
    (tmp_path / f"b-{os.uname().release}").write_bytes(blob())
    assert targets._find_kernel().find("int", Kind.INT)


def test_kernel_types_reads_modules_only_when_asked(tmp_path, monkeypatch):
    """The first is the kernel; modules follow, malformed ones are left out."""
    base = Types()
    base.int("int")
    kernel = base.btf("vmlinux")
    monkeypatch.setattr(targets, "SYSFS", str(tmp_path))
    (tmp_path / "vmlinux").write_bytes(blob())
    (tmp_path / "bad").write_bytes(b"\x9f\xeb")
    types = targets.KernelTypes(kernel, modules=True)
    assert next(iter(types)) is kernel
    assert types._modules is None
    assert list(types) == [kernel]
