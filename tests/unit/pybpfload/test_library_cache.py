"""Which libraries the dynamic linker's cache names, and in which order."""

from __future__ import annotations

import os
import struct

import pytest

from pybpfload.links import paths


def cache(*entries):
    """An ld.so.cache of (flags, path)."""
    texts, records = b"", b""
    start = 48 + 24 * len(entries)
    for flags, path in entries:
        records += struct.pack("=iIIIQ", flags, 0, start + len(texts), 0, 0)
        texts += path.encode() + b"\0"
    return paths.CACHE_MAGIC + struct.pack("=II20x", len(entries), len(texts)) + records + texts


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="these flags are those of x86-64")
def test_libraries_of_other_kinds_of_programs_come_last():
    """x32 and i386 have a libc.so.6 of their own."""
    data = cache((0x0803, "/libx32/libc.so.6"), (0x0003, "/lib32/libc.so.6"), (0x0303, "/lib/libc.so.6"))
    assert list(paths._cached(data)) == ["/lib/libc.so.6", "/libx32/libc.so.6", "/lib32/libc.so.6"]


def test_cache_that_is_cut_off_names_what_is_there():
    """And rubbish names nothing."""
    data = cache((0x0303, "/lib/a.so"), (0x0303, "/lib/b.so"))
    assert list(paths._cached(data[:-5])) == ["/lib/a.so"]
    assert list(paths._cached(b"x" * 100)) == []
