"""Functions of files, found in each table that may have them; beside nm and readelf."""

from __future__ import annotations

import lzma
import random
import re
import shutil
import subprocess

import pytest

from pybpfload.errors import ObjectError
from pybpfload.symbols import SymbolFile, file_offset_of, file_offsets_of, lookup
from tests.support.gates import require_tool
from tests.support.sandbox import libc_path

SOURCE = b"""
__attribute__((noinline)) int first(int x) { __asm__ volatile(""); return x + 1; }
static __attribute__((noinline)) int hidden(int x) { __asm__ volatile(""); return x + 2; }
__attribute__((noinline)) int averylongname_of_a_function(int x) { __asm__ volatile(""); return hidden(x) + 3; }
int main(void) { return first(averylongname_of_a_function(0)); }
"""
NAMES = ["first", "hidden", "averylongname_of_a_function", "main"]


def run(*command, **options):
    """A tool's output."""
    return subprocess.run(
        [require_tool(command[0]), *map(str, command[1:])], check=True, capture_output=True, **options
    )


def build(folder, *options):
    """A program of SOURCE."""
    path = folder / "program"
    run("gcc", "-O1", *options, "-x", "c", "-", "-o", path, input=SOURCE)
    return path


def segments(path):
    """What readelf says is mapped from where."""
    out = run("readelf", "-lW", path).stdout.decode()
    rows = re.findall(r"^\s+LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)", out, re.MULTILINE)
    return [tuple(int(x, 16) for x in row) for row in rows]


def expected(path, *options):
    """Name to offset in the file, from nm and readelf."""
    loads = segments(path)
    found = {}
    for line in run("nm", *options, path).stdout.decode().splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in "TtWwi":
            address = int(parts[0], 16)
            for offset, start, size in loads:
                if start <= address < start + size:
                    found.setdefault(parts[2], set()).add(address - start + offset)
    return found


@pytest.mark.parametrize("options", [["-no-pie"], ["-pie", "-fPIE"], ["-static"], ["-static-pie"]], ids=" ".join)
def test_symbols_of_executables_are_where_nm_says(tmp_path, options):
    """Executables of each kind; static functions too."""
    path = build(tmp_path, *options)
    theirs = expected(path)
    assert file_offsets_of(str(path), NAMES) == [next(iter(theirs[name])) for name in NAMES]


def test_symbols_of_libc_are_where_nm_says():
    """Every function of .dynsym, by its name with its version: IFUNCs and old versions too."""
    path = libc_path()
    theirs = {name: places for name, places in expected(path, "-D").items() if len(places) == 1}
    functions = [n for n in theirs if not n.startswith("_dl_")]
    assert len(functions) > 1500
    assert any("@GLIBC" in n and "@@" not in n for n in functions)
    ours = dict(zip(functions, file_offsets_of(path, functions)))
    wrong = {n: (ours[n], theirs[n]) for n in functions if ours[n] not in theirs[n]}
    assert wrong == {}


def test_symbol_with_several_versions_means_the_default():
    """As the linker would; each version can be asked for."""
    path = libc_path()
    theirs = expected(path, "-D")
    name = next(n.partition("@@")[0] for n in theirs if "@@" in n and any(
        o.startswith(n.partition("@@")[0] + "@G") and theirs[o] != theirs[n] for o in theirs))  # fmt: skip
    default = next(n for n in theirs if n.startswith(name + "@@"))
    old = next(n for n in theirs if n.startswith(name + "@G") and theirs[n] != theirs[default])
    assert file_offset_of(path, name) == file_offset_of(path, default)
    assert file_offset_of(path, old) in theirs[old]
    with pytest.raises(ObjectError, match=re.escape(default)):
        file_offset_of(path, f"{name}@GLIBC_9.9")


def stripped_with_mini(folder, data=None):
    """A program whose symbols are in .gnu_debugdata only, as Fedora ships them."""
    path = build(folder)
    symbols, compressed = folder / "symbols", folder / "symbols.xz"
    run("objcopy", "--only-keep-debug", path, symbols)
    compressed.write_bytes(lzma.compress(symbols.read_bytes()) if data is None else data)
    theirs = expected(path)
    run("strip", path)
    run("objcopy", "--add-section", f".gnu_debugdata={compressed}", path)
    return path, theirs


def test_symbols_in_compressed_debug_data_are_found(tmp_path):
    """.gnu_debugdata, which names what .dynsym does not."""
    path, theirs = stripped_with_mini(tmp_path)
    assert file_offset_of(str(path), "hidden") in theirs["hidden"]
    with pytest.raises(ObjectError, match=r"\.dynsym or \.symtab of \.gnu_debugdata; closest is `first`"):
        file_offset_of(str(path), "firstt")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"not xz", "cannot be decompressed"), (lzma.compress(bytes(100))[:40], "ends within|cannot be decompressed"),
     (lzma.compress(b"not ELF"), "not an ELF file")],
    ids=["garbage", "cut", "no-elf"],
)  # fmt: skip
def test_symbols_in_broken_debug_data_are_reported_as_missing(tmp_path, data, message):
    """What is wrong with it stands beside what was searched."""
    path, _ = stripped_with_mini(tmp_path, data)
    with pytest.raises(ObjectError, match=rf"no function `hidden` in \.dynsym.*\(.*({message})"):
        file_offset_of(str(path), "hidden")


def test_symbols_in_a_compression_bomb_stay_within_bounds(tmp_path, monkeypatch):
    """A megabyte of zeros takes a few hundred bytes; ours stops where it should."""
    monkeypatch.setattr(lookup, "MAX_MINI", 1 << 16)
    path, _ = stripped_with_mini(tmp_path, lzma.compress(bytes(1 << 20)))
    with pytest.raises(ObjectError, match="decompresses to more than 65536 bytes"):
        file_offset_of(str(path), "hidden")


def test_symbols_in_the_debug_file_of_the_build_id_are_found(tmp_path):
    """/usr/lib/debug/.build-id, of the process's own root; with another build-id it is not believed."""
    path = build(tmp_path, "-Wl,--build-id=0x0123456789abcdef")
    theirs = expected(path)
    debug = tmp_path / "usr/lib/debug/.build-id/01/23456789abcdef.debug"
    debug.parent.mkdir(parents=True)
    run("objcopy", "--only-keep-debug", path, debug)
    run("strip", path)
    root = str(tmp_path)
    assert file_offset_of(str(path), "hidden", debug_root=root) in theirs["hidden"]
    with pytest.raises(ObjectError, match=r"\.symtab of .*23456789abcdef\.debug; closest is `hidden`"):
        file_offset_of(str(path), "hiddenn", debug_root=root)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(build(other, "-Wl,--build-id=0xffff"), debug)
    with pytest.raises(ObjectError, match=r"no function `hidden` in \.dynsym .*has another build-id"):
        file_offset_of(str(path), "hidden", debug_root=root)


def test_symbols_of_a_stripped_file_say_that_there_are_none(tmp_path):
    """What was looked for, not only what was found."""
    path = build(tmp_path, "-static")
    run("strip", path)
    with pytest.raises(ObjectError, match=r"no function `first` in the file: it has no symbols, no \.gnu_debugdata"):
        file_offset_of(str(path), "first")


def test_symbols_may_be_offsets():
    """A number is what it says."""
    assert file_offsets_of(libc_path(), ["0x1234", "getpid"])[0] == 0x1234


def test_symbols_that_match_a_pattern_count_once_a_place(tmp_path):
    """Aliases are one function."""
    path = build(tmp_path)
    with SymbolFile(str(path)) as file:
        assert "hidden" in dict(file.matching("*i[rd]*n*"))
        assert file.matching("nosuch*") == []
        offsets = [offset for _, offset in file.matching("*")]
    assert len(offsets) == len(set(offsets))


def test_symbols_of_hostile_files_end_in_errors_of_ours(tmp_path):
    """Bytes changed at random: found, or an ObjectError; never anything else, and soon."""
    good = build(tmp_path).read_bytes()
    chance = random.Random(4)
    broken = tmp_path / "broken"
    outcomes = set()
    for _ in range(300):
        data = bytearray(good)
        # Headers matter most.
        for _ in range(chance.randrange(1, 6)):
            where = chance.choice([64, 1024, len(data), -4096])
            at = chance.randrange(where) if where > 0 else len(data) + chance.randrange(where, 0)
            data[at] = chance.randrange(256)
        broken.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
        try:
            file_offset_of(str(broken), "hidden")
            outcomes.add("found")
        except ObjectError:
            outcomes.add("refused")
    assert outcomes == {"found", "refused"}


def test_symbols_of_no_elf_file_are_refused(tmp_path):
    """Empty, text, a directory, nothing."""
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(ObjectError, match="not an ELF file: it is empty"):
        file_offset_of(str(empty), "f")
    with pytest.raises(ObjectError, match="not an ELF file"):
        file_offset_of(__file__, "f")
    with pytest.raises(OSError, match="Is a directory"):
        file_offset_of(str(tmp_path), "f")
