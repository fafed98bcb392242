"""Names found by .gnu.hash are those that a look at all symbols finds, and what nm and readelf say."""

from __future__ import annotations

import random
import re
import struct
import subprocess

import pytest

from pybpfload.elf import ElfFile
from pybpfload.errors import ObjectError
from pybpfload.symbols.gnuhash import GnuHash, gnu_hash
from pybpfload.symbols.table import SymbolTable
from tests.support.gates import require_tool
from tests.support.sandbox import libc_path

SOURCE = "".join(f"int function_{n}(int x) {{ return x + {n}; }}\n" for n in range(200))
NAMES = [f"function_{n}" for n in range(200)]


def run(*command, **options):
    """A tool's output."""
    done = subprocess.run(
        [require_tool(command[0]), *map(str, command[1:])], check=True, capture_output=True, **options
    )
    return done.stdout.decode()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library of SOURCE."""
    path = tmp_path_factory.mktemp("hash") / "lib.so"
    run("gcc", "-shared", "-fPIC", "-Wl,--hash-style=gnu", "-x", "c", "-", "-o", path, input=SOURCE.encode())
    return path


def table_of(data):
    """Its .dynsym."""
    elf = ElfFile(bytes(data), "test")
    return SymbolTable(elf, elf.section(".dynsym"), ".dynsym")


def no_scan(table, monkeypatch):
    """Let nothing be found but by the hash."""
    monkeypatch.setattr(table, "_find_by_scan", None)
    return table


def test_hash_finds_what_readelf_shows(monkeypatch):
    """Each function of libc, in all its versions: address and version."""
    path, theirs = libc_path(), set()
    for line in run("readelf", "--dyn-syms", "-W", path).splitlines():
        row = re.fullmatch(r"\s*\d+: (\w+)\s+\w+ (?:FUNC|IFUNC)\s+\w+\s+\w+\s+(?!UND)\w+ ([^@\s]+)(@\S+)?.*", line)
        if row:
            theirs.add((row[2], int(row[1], 16), (row[3] or "").lstrip("@")))
    with open(path, "rb") as file:
        table = no_scan(table_of(file.read()), monkeypatch)
    found = table.find(sorted({name for name, _, _ in theirs}))
    ours = {(hit.name, hit.address, hit.version) for hits in found.values() for hit in hits}
    assert len(theirs) > 1500
    assert ours == theirs


def test_hash_finds_what_nm_shows(library, monkeypatch):
    """Addresses; and nothing that is not there."""
    rows = [line.split() for line in run("nm", "-D", "--defined-only", library).splitlines()]
    theirs = {row[2]: int(row[0], 16) for row in rows}
    found = no_scan(table_of(library.read_bytes()), monkeypatch).find([*NAMES, "function_", "function_999", ""])
    assert {name: [hit.address for hit in found[name]] for name in NAMES} == {n: [theirs[n]] for n in NAMES}
    assert [found[name] for name in ("function_", "function_999", "")] == [[], [], []]


def test_hash_is_that_of_linkers():
    """Values from the description of the format."""
    assert [gnu_hash(name) for name in (b"", b"printf", b"exit", b"syscall")] == [
        0x1505,
        0x156B2BB8,
        0x7C967E3F,
        0xBAC212A0,
    ]


def words_at(section, elf):
    """Offsets in the file: of the header's words, the first bucket, the first chain; how many chains."""
    data = elf.data(section)
    buckets, first, bloom, _ = struct.unpack_from("<4I", data)
    at = section.offset + 16 + 8 * bloom
    return section.offset, at, at + 4 * buckets, elf.section(".dynsym").size // 24 - first


HARMS = {
    "no buckets": lambda data, head, bucket, chain, count: struct.pack_into("<I", data, head, 0),
    "too many buckets": lambda data, head, bucket, chain, count: struct.pack_into("<I", data, head, 0xFFFFFFFF),
    "first symbol beyond": lambda data, head, bucket, chain, count: struct.pack_into("<I", data, head + 4, 1 << 31),
    "bloom filter beyond": lambda data, head, bucket, chain, count: struct.pack_into("<I", data, head + 8, 1 << 31),
    "buckets beyond": lambda data, head, bucket, chain, count: data.__setitem__(
        slice(bucket, chain), b"\xff" * (chain - bucket)
    ),
    "chains without end": lambda data, head, bucket, chain, count: data.__setitem__(
        slice(chain, chain + 4 * count), bytes(4 * count)
    ),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_malformed_hash_is_not_used(library, harm):
    """All names are found by looking at all symbols."""
    data = bytearray(library.read_bytes())
    elf = ElfFile(bytes(data), "test")
    harm(data, *words_at(elf.section(".gnu.hash"), elf))
    found = table_of(data).find(NAMES)
    assert [[hit.name for hit in found[name]] for name in NAMES] == [[name] for name in NAMES]


def test_file_without_hash_is_looked_at_whole(tmp_path):
    """Old linkers made the other kind only."""
    path = tmp_path / "lib.so"
    run("gcc", "-shared", "-fPIC", "-Wl,--hash-style=sysv", "-x", "c", "-", "-o", path, input=SOURCE.encode())
    assert all(table_of(path.read_bytes()).find(NAMES).values())


def test_random_bytes_in_the_hash_end_in_errors_of_ours(library):
    """Names may be hidden by it, but only `ObjectError` comes out."""
    good = library.read_bytes()
    elf = ElfFile(good, "test")
    section = elf.section(".gnu.hash")
    chance = random.Random(5)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 20)):
            data[section.offset + chance.randrange(section.size)] = chance.randrange(256)
        broken = ElfFile(bytes(data), "test")
        try:
            GnuHash(broken, section, 210).find(b"function_7")
        except ObjectError:
            pass
        table_of(data).find(NAMES)


def test_chain_of_a_million_is_given_up():
    """One bucket, no end: bounded."""
    symbols = 1 << 20
    content = struct.pack("<4IQI", 1, 1, 1, 0, 0, 1) + bytes(4 * symbols)

    class Elf:
        name, is_64, big_endian = "test", True, False

        def data(self, section):
            return content

    with pytest.raises(ObjectError, match="no end"):
        GnuHash(Elf(), None, symbols).find(b"x")
