"""What fuzzing begins with: objects, BTF, .BTF.ext, ELF files with symbols."""

from __future__ import annotations

import struct
import sys
from functools import cache
from pathlib import Path

from pybpfload.elf import ElfFile
from tests.support.elfmaker import ALLOC, EXEC, FUNC, GLOBAL, PROGBITS, Elf
from tests.support.embedded import embedded_objects
from tests.support.objects import DATA
from tests.support.types import Types
from tests.unit.pybpfload.test_btf_blob import every_kind, swapped

ROOT = DATA.parent.parent
TOOLS = Path("/usr/sbin")
MAX_OBJECT = 40_000  # larger ones are slow, and say nothing new


@cache
def objects(*, tools: bool = False) -> tuple[bytes, ...]:
    """The repository's BPF objects; those in the tools of libbpf-tools too, where these are installed."""
    found = [path.read_bytes() for path in sorted([*DATA.glob("*.bpf.o"), *ROOT.glob("bpf/objects/*/*.bpf.o")])]
    for tool in sorted(TOOLS.glob("*")) if tools else ():
        if tool.is_file() and tool.stat().st_size < 4 << 20:
            found += [entry.data for entry in embedded_objects(tool) if len(entry.data) <= MAX_OBJECT]
    return tuple(dict.fromkeys(found))


def section(data: bytes, name: str) -> bytes:
    """The contents of an object's section, or nothing."""
    elf = ElfFile(data, "seed")
    found = elf.section(name)
    return elf.data(found) if found else b""


def btfs(*, tools: bool = False) -> tuple[bytes, ...]:
    """BTF of objects, and one with a type of every kind, in both byte orders."""
    made = every_kind().blob()
    return (made, swapped(made), *filter(None, (section(data, ".BTF") for data in objects(tools=tools))))


def exts(*, tools: bool = False) -> tuple[bytes, ...]:
    """.BTF behind .BTF.ext of objects, with the length of the latter before them."""
    pairs = ((section(data, ".BTF.ext"), section(data, ".BTF")) for data in objects(tools=tools))
    return tuple(len(ext).to_bytes(4, "little") + ext + btf for ext, btf in pairs if ext and btf)


def kernel() -> Types:
    """A small kernel: types that the objects of the tests ask for, some of them changed."""
    made = Types()
    u8, u16, u32, u64 = (made.int(f"u{s * 8}", s, signed=False) for s in (1, 2, 4, 8))
    number = made.int("int")
    char = made.int("char", 1)
    comm = made.array(char, 16)
    mm = made.struct("mm_struct", 16, ("exe_file", made.ptr(0), 8))
    inner = made.struct("", 8, ("unrelated", u32, 0), ("hidden", u32, 4))
    leaf = made.struct("leaf", 24, ("before", u64, 0), ("x", u32, 8), ("y", u16, 20))
    made.struct("tree", 512, ("first", u64, 64), ("leaf", leaf, 8), ("row", made.array(leaf, 4), 128), ("", inner, 256))
    made.struct(
        "task_struct", 256, ("pid", number, 16), ("tgid", number, 20), ("comm", comm, 32), ("mm", made.ptr(mm), 64),
        ("flags", u32, 640, 3), ("start_boottime", u64, 96), ("exit_code", u16, 104),
    )  # fmt: skip
    pointer = made.ptr(0)
    members = (("ssthresh", pointer, 8), ("undo_cwnd", pointer, 16), ("cong_avoid", pointer, 24), ("name", comm, 40))
    ops = made.struct("tcp_congestion_ops", 64, *members, ("flags", u32, 32))
    made.struct("bpf_struct_ops_tcp_congestion_ops", 128, ("refcnt", u32, 0), ("data", ops, 64))
    made.enum("shade", ("DARK", 7), ("LIGHT", 8))
    made.enum("wide", ("TOP", 1 << 40), size=8)
    made.typedef("byte", u8)
    return made


def _with_usdt() -> bytes:
    """A file with one USDT probe, as <sys/sdt.h> makes it."""
    elf = Elf()
    code = elf.section(".text", PROGBITS, ALLOC | EXEC, b"\x90\xc3")
    elf.symbol("main", FUNC | GLOBAL, code, 0, 2)
    content = struct.pack("<QQQ", 0, 0, 0) + b"provider\0name\0-4@%edi 8@-8(%rbp) 4@$5\0"
    content += bytes(-len(content) % 4)
    elf.section(".note.stapsdt", 7, 0, struct.pack("<III", 8, len(content), 3) + b"stapsdt\0" + content)
    return elf.build()


def elfs(*, tools: bool = False) -> tuple[bytes, ...]:
    """ELF files with symbols."""
    found = [data for data in objects() if len(data) < 6000]
    found.append(_with_usdt())
    for path in (Path(sys.executable), Path("/bin/true")) if tools else ():
        data = path.read_bytes() if path.is_file() else b""
        if 0 < len(data) <= MAX_OBJECT:
            found.append(data)
    return tuple(found)
