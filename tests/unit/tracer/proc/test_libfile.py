"""Version and build-id of libraries, against readelf and what the programs say themselves."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gates import require_tool
from tracer.proc import libfile
from tracer.proc.libfile import LibraryFile, LibraryFiles, filesystem, find_banner, find_build_id
from tracer.proc.maps import executable_mappings


def mapped(name: str):
    """A library that this process has mapped."""
    (found,) = [m for m in executable_mappings(os.getpid()) if os.path.basename(m.path).startswith(name)]
    return found


def device_of(mapping) -> str:
    return "{}:{}".format(*mapping.device)


def on_file(function, content: bytes, path, *arguments):
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        return function(fd, *arguments)
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["libc.so.6", "libcrypto.so"])
def test_build_id_is_what_readelf_says(name):
    """A second opinion."""
    import _hashlib  # noqa: F401  it maps libcrypto

    library = mapped(name)
    notes = subprocess.run([require_tool("readelf"), "-n", library.path], capture_output=True, text=True, check=True)
    (expected,) = re.findall(r"Build ID: ([0-9a-f]+)", notes.stdout)
    found = LibraryFiles().describe(os.getpid(), library.path, device_of(library), library.inode, "")
    assert found == LibraryFile("", expected)


def test_version_of_libcrypto_is_that_of_the_library_itself():
    """The one that Python's ssl module names."""
    import ssl  # it maps libcrypto

    library = mapped("libcrypto.so")
    found = LibraryFiles().describe(os.getpid(), library.path, device_of(library), library.inode, "OpenSSL")
    assert found.version == ssl.OPENSSL_VERSION.split()[1]


def test_describe_of_a_gone_process_takes_the_same_file_of_that_name():
    """The inode tells that it is the same."""
    library = mapped("libc.so.6")
    gone = subprocess.Popen(["true"])
    gone.wait()
    files = LibraryFiles()
    assert files.describe(gone.pid, library.path, device_of(library), library.inode, "").build_id
    assert files.describe(gone.pid, library.path, device_of(library), library.inode + 1, "") == LibraryFile()


def test_describe_reads_a_file_once_and_again_when_it_changed(tmp_path, monkeypatch):
    """Names and numbers of files are used again."""
    path = tmp_path / "libssl.so.3"
    path.write_bytes(b"\0OpenSSL 3.0.1 1 Jan 2022\0")
    status = path.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    reads = []
    real = libfile.find_banner
    monkeypatch.setattr(libfile, "find_banner", lambda *args: reads.append(1) or real(*args))
    files = LibraryFiles()
    for _ in range(3):
        assert files.describe(os.getpid(), str(path), device, status.st_ino, "OpenSSL").version == "3.0.1"
    assert len(reads) == 1
    path.write_bytes(b"\0OpenSSL 3.0.22 1 Jan 2026\0")
    assert files.describe(os.getpid(), str(path), device, status.st_ino, "OpenSSL").version == "3.0.22"


def test_describe_does_not_touch_file_systems_that_may_never_answer(tmp_path, monkeypatch):
    """FUSE and network: only its type is looked at."""
    path = tmp_path / "libssl.so.3"
    path.write_bytes(b"\0OpenSSL 3.0.1 1 Jan 2022\0")
    status = path.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    monkeypatch.setattr(libfile, "filesystem", lambda process, device: "fuse.sshfs")
    monkeypatch.setattr(libfile, "_open", lambda *args: pytest.fail("opened"))
    assert LibraryFiles().describe(os.getpid(), str(path), device, status.st_ino, "OpenSSL") == LibraryFile()


def test_describe_of_a_pipe_with_the_name_of_a_library_does_not_hang(tmp_path):
    """What is no file is not read."""
    path = tmp_path / "libssl.so.3"
    os.mkfifo(path)
    status = path.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    assert LibraryFiles().describe(os.getpid(), str(path), device, status.st_ino, "OpenSSL") == LibraryFile()


def test_filesystem_is_the_type_of_the_mount():
    """By the device of its files."""
    status = os.stat("/proc/self")
    assert filesystem("self", f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}") == "proc"
    assert filesystem("self", "0:999999") == ""


@pytest.mark.parametrize(
    ("family", "content", "version"),
    [
        ("OpenSSL", b"x\0OpenSSL 3.0.19 27 Jan 2026\0", "3.0.19"),
        ("OpenSSL", b"OpenSSL 1.0.2k-fips  26 Jan 2017\0", "1.0.2k-fips"),
        ("OpenSSL", b"LibreSSL 3.8.2\0", "3.8.2"),
        ("GnuTLS", b"\x003.7.9\0", "3.7.9"),
        ("Libgcrypt", b"This is Libgcrypt 1.10.1 - The GNU Crypto Library", "1.10.1"),
        ("OpenSSL", b"OpenSSL default user\0", ""),
        ("OpenSSL", b"", ""),
        ("Unknown", b"Unknown 1.2.3\0", ""),
    ],
)
def test_find_banner(tmp_path, family, content, version):
    """As the libraries have them."""
    assert on_file(find_banner, content, tmp_path / "x", family) == version


def test_find_banner_on_the_border_of_two_chunks(tmp_path, monkeypatch):
    """Files are read in parts, and what lies across is not lost; nor is more read than the limit."""
    monkeypatch.setattr(libfile, "CHUNK", 256)
    for shift in range(230, 260):
        content = b"y" * shift + b"OpenSSL 3.0.19 27 Jan 2026\0" + b"z" * 99
        assert on_file(find_banner, content, tmp_path / "x", "OpenSSL") == "3.0.19"
    monkeypatch.setattr(libfile, "MAX_SCAN", 512)
    assert on_file(find_banner, b"y" * 600 + b"OpenSSL 3.0.19 \0", tmp_path / "x", "OpenSSL") == ""


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_find_build_id_of_anything(tmp_path_factory, tail):
    """An ELF header with anything behind it."""
    path = tmp_path_factory.getbasetemp() / "any"
    for start in (b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b""):
        found = on_file(find_build_id, start + tail, path)
        assert re.fullmatch(r"(?:[0-9a-f]{2}){0,64}", found)
