"""Inputs that are small for what they ask for: each shape makes some loop meet another one, or itself.

With a reader that does not watch its work, each of them takes minutes or gigabytes; `scale` says how much.
"""

from __future__ import annotations

import struct
from typing import Callable

from pybpfload.btf import Kind
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.btf.ext import CoreKind
from tests.support.elfmaker import (
    ALLOC,
    EXEC,
    EXIT,
    FUNC,
    GLOBAL,
    NOBITS,
    OBJECT,
    PROGBITS,
    REL,
    Elf,
    core_info,
    ext,
    infos,
)
from tests.support.types import Types

Shape = Callable[[int], bytes]


def program(
    made: Types, relos: Callable[[Callable[[str], int]], list[tuple[int, int, int, int]]], holds: int = 0
) -> bytes:
    """An object of one program with these relocations, all of them of its first instruction, which holds a number."""
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        at = strings.find(b"\0" + text.encode() + b"\0") + 1
        if not at:
            at = len(strings)
            strings.extend(text.encode() + b"\0")
        return at

    section = string("xdp")
    records = relos(string)
    elf = Elf()
    number = elf.section("xdp", PROGBITS, ALLOC | EXEC, struct.pack("<BBhi", 0xB7, 0, 0, holds) + EXIT)
    elf.symbol("p", FUNC | GLOBAL, number, 0, 16)
    elf.section(".BTF", PROGBITS, 0, encode(made.all, strings=bytes(strings)))
    elf.section(".BTF.ext", PROGBITS, 0, ext(core_info(section, records)))
    return elf.build()


def doubled(made: Types, depth: int, name: str, member: str, kind: Kind = Kind.STRUCT, size: int = 0) -> int:
    """A struct of two members of a struct of two members, and so on."""
    first = len(made.all) + 1
    for i in range(depth):
        names = (f"{member}0", f"{member}1") if member else ("", "")
        target = first + i + 1
        members = tuple(t.Member(n, target, 0, 0) for n in names)
        made.add(lambda i, members=members: t.Composite(i, kind, name and f"{name}{i}", size, members))
    made.add(lambda i: t.Composite(i, kind, name and f"{name}{i}", size, ()))
    return first


def variable(made: Types, type_id: int, size: int) -> bytes:
    """An object of one variable."""
    var = made.add(lambda i: t.Var(i, "v", type_id, t.Linkage.GLOBAL))
    made.add(lambda i: t.Datasec(i, ".data", 0, (t.SectionVar(var, 0, size),)))
    elf = Elf()
    elf.symbol("v", OBJECT | GLOBAL, elf.section(".data", PROGBITS, ALLOC, bytes(size)), 0, size)
    elf.section(".BTF", PROGBITS, 0, made.blob())
    return elf.build()


def strings_that_share_tails(scale: int) -> bytes:
    """Each type is called by another tail of one long string."""
    names = b"\0" + b"x" * scale + b"\0"
    words = b"".join(struct.pack("<3I", i, 8 << 24, 0) for i in range(1, scale // 2))
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(words), len(words), len(names)) + words + names


def flavours(scale: int) -> bytes:
    """Each relocation is of a struct with as many flavours as there are relocations."""
    made = Types()
    number = made.int()
    ids = [made.struct(f"s___{i}", 4, ("a", number, 0)) for i in range(scale)]
    return program(made, lambda s: [(0, i, s("0:0"), CoreKind.FIELD_EXISTS) for i in ids])


def names_at_odd_places(scale: int) -> bytes:
    """Names whose offsets look like the middle of two others, looked for again and again."""
    made = Types()
    for _ in range(scale):
        made.typedef("x" * 300, 0)
    ids = [made.struct(f"s{i}", 0) for i in range(scale)]
    return program(made, lambda s: [(0, i, s("0"), CoreKind.TYPE_EXISTS) for i in ids])


def nameless_structs(scale: int) -> bytes:
    """A variable with 2 to the power of 30 members, none of which has anything in it."""
    made = Types()
    return variable(made, doubled(made, min(30, scale), "", ""), 8)


def nested_unions(scale: int) -> bytes:
    """One byte that has 2 to the power of 30 values."""
    made = Types()
    return variable(made, doubled(made, min(30, scale), "u", "m", Kind.UNION, 1), 1)


def member_in_nameless_structs(scale: int) -> bytes:
    """A member that is nowhere, looked for in 2 to the power of 30 structs."""
    made = Types()
    number = made.int()
    one = made.struct("s", 4, ("wanted", number, 0))
    inner = len(made.all) + 2
    made.add(lambda i: t.Composite(i, Kind.STRUCT, "s___2", 4, (t.Member("", inner, 0, 0),)))
    doubled(made, min(30, scale), "", "")
    return program(made, lambda s: [(0, one, s("0:0"), CoreKind.FIELD_EXISTS)])


def matching_structs(scale: int) -> bytes:
    """Two structs that only differ at the end of 2 to the power of 30 ways."""
    made = Types()
    one = doubled(made, min(30, scale), "s", "m")
    made.all[one - 1] = made.all[one - 1]._replace(name="s")
    return program(made, lambda s: [(0, one, s("0"), CoreKind.TYPE_MATCHES)])


def compatible_functions(scale: int) -> bytes:
    """Functions that take two functions that take two functions."""
    made = Types()
    for i in range(min(15, scale)):
        target = 2 * i + 2
        made.add(lambda i, x=target: t.FuncProto(i, 0, (t.Param("a", x), t.Param("b", x))))
        made.ptr(target + 1)
    made.add(lambda i: t.FuncProto(i, 0, ()))
    one = made.typedef("f", 1)
    return program(made, lambda s: [(0, one, s("0"), k) for k in (CoreKind.TYPE_EXISTS, CoreKind.TYPE_MATCHES)])


def enumerators(scale: int) -> bytes:
    """Each relocation is of another value of one long enum."""
    made = Types()
    one = made.enum("e", *((f"V{i}", i) for i in range(scale)))
    return program(made, lambda s: [(0, one, s(str(i)), CoreKind.ENUMVAL_EXISTS) for i in range(min(scale, 9999))], 1)


def wide_enums(scale: int) -> bytes:
    """Many enums, each of which an old kernel needs replaced."""
    made = Types()
    for i in range(scale):
        made.enum(f"e{i}", ("V", i), size=8)
    return program(made, lambda s: [(0, 1, s("0"), CoreKind.ENUMVAL_EXISTS)])


def sections(scale: int) -> bytes:
    """As many sections as there can be, with names that nobody knows."""
    elf = Elf()
    for i in range(min(scale, 65_000)):
        number = elf.section(f"kprobx{i % 100}x{i}", PROGBITS, ALLOC | EXEC, EXIT)
        elf.symbol(f"p{i}", FUNC | GLOBAL, number, 0, 8)
    return elf.build()


def sections_that_overlap(scale: int) -> bytes:
    """Relocation sections that all are the same bytes."""
    elf = Elf()
    code = elf.section("xdp", PROGBITS, ALLOC | EXEC, EXIT)
    elf.section(".relxdp", REL, 0, bytes(16 * scale), info=code)
    for _ in range(min(scale, 60_000)):
        elf.section(".relxdp", REL, 0, 16 * scale, info=code)
    return elf.build()


def empty_data(scale: int) -> bytes:
    """Sections of zeroes, which take no space in the file."""
    elf = Elf()
    for i in range(min(scale, 60_000)):
        elf.section(f".bss.{i}", NOBITS, ALLOC, 1 << 25)
    return elf.build()


def listed_sections(scale: int) -> bytes:
    """Many sections with variables, many symbols."""
    made, elf = Types(), Elf()
    for i in range(min(scale, 60_000)):
        var = made.add(lambda i: t.Var(i, f"v{i}", 0, t.Linkage.GLOBAL))
        made.add(lambda _, i=i, var=var: t.Datasec(var + 1, f"x{i}", 0, (t.SectionVar(var, 0, 0),)))
        elf.symbol(f"v{var}", OBJECT | GLOBAL, elf.section(f"x{i}", PROGBITS, ALLOC, b""), 0, 0)
    elf.section(".BTF", PROGBITS, 0, made.blob())
    return elf.build()


def functions_and_lines(scale: int) -> bytes:
    """Functions of one instruction each, with a line and a relocation each, all of one section."""
    made, elf = Types(), Elf()
    one = made.struct("s", 4, ("a", made.int(), 0))
    number = elf.section(".text", PROGBITS, ALLOC | EXEC, struct.pack("<BBhi", 0xB7, 0, 0, 0) * scale)
    calls = b"".join(struct.pack("<BBhi", 0x85, 0x10, 0, -1) for _ in range(scale))
    main = elf.section("xdp", PROGBITS, ALLOC | EXEC, calls + EXIT)
    elf.symbol("main", FUNC | GLOBAL, main, 0, 8 * scale + 8)
    relocs = bytearray()
    for i in range(scale):
        symbol = elf.symbol(f"f{i}", FUNC | GLOBAL, number, 8 * i, 8)
        relocs += elf.relocation(8 * i, symbol)
    elf.section(".relxdp", REL, 0, bytes(relocs), info=main)
    strings = b"\0.text\x000:0\0"
    lines = infos("4I", [(1, [(8 * i, 1, 1, 1024) for i in range(scale)])])
    elf.section(".BTF", PROGBITS, 0, encode(made.all, strings=strings))
    core = core_info(1, [(8 * i, one, 7, CoreKind.FIELD_BYTE_OFFSET) for i in range(scale)])
    elf.section(".BTF.ext", PROGBITS, 0, ext(core, lines))
    return elf.build()


def programs_that_share(scale: int) -> bytes:
    """Each program gets its own copy of one long function, and with it as many relocations."""
    elf, made = Elf(), Types()
    one = made.struct("s", 4, ("a", made.int(), 0))
    records = [(8 * i, one, 7, CoreKind.FIELD_BYTE_OFFSET) for i in range(scale - 1)]
    elf.section(".BTF", PROGBITS, 0, encode(made.all, strings=b"\0.text\0" + b"0:0\0"))
    elf.section(".BTF.ext", PROGBITS, 0, ext(core_info(1, records)))
    long = elf.section(".text", PROGBITS, ALLOC | EXEC, struct.pack("<BBhi", 0xB7, 0, 0, 0) * (scale - 1) + EXIT)
    symbol = elf.symbol("long", FUNC | GLOBAL, long, 0, 8 * scale)
    call = struct.pack("<BBhi", 0x85, 0x10, 0, -1) + EXIT
    code = elf.section("xdp", PROGBITS, ALLOC | EXEC, call * scale)
    for i in range(scale):
        elf.symbol(f"p{i}", FUNC | GLOBAL, code, 16 * i, 16)
    elf.section(".relxdp", REL, 0, b"".join(elf.relocation(16 * i, symbol) for i in range(scale)), info=code)
    return elf.build()


def map_definitions(scale: int) -> bytes:
    """Many maps, each of one struct with many members."""
    made, elf = Types(), Elf()
    number = made.ptr(made.array(made.int(), 1))
    struct_id = made.struct("m", 8, *(("type", number, 0) for _ in range(scale)))
    maps = elf.section(".maps", PROGBITS, ALLOC, bytes(8 * scale))
    entries = []
    for i in range(scale):
        var = made.add(lambda n, i=i: t.Var(n, f"m{i}", struct_id, t.Linkage.GLOBAL))
        entries.append(t.SectionVar(var, 8 * i, 8))
        elf.symbol(f"m{i}", OBJECT | GLOBAL, maps, 8 * i, 8)
    made.add(lambda i: t.Datasec(i, ".maps", 0, tuple(entries)))
    elf.section(".BTF", PROGBITS, 0, made.blob())
    return elf.build()


def large_options(scale: int) -> bytes:
    """Options of .kconfig that would take all memory."""
    made, elf = Types(), Elf()
    text = made.array(made.int("char", 1), (1 << 32) - 1)
    var = made.add(lambda i: t.Var(i, "CONFIG_X", text, t.Linkage.EXTERN))
    made.add(lambda i: t.Datasec(i, ".kconfig", 0, (t.SectionVar(var, 0, 0),)))
    elf.symbol("CONFIG_X", GLOBAL, 0)
    elf.section(".BTF", PROGBITS, 0, made.blob())
    return elf.build()


def wide_integers(scale: int) -> bytes:
    """An integer of four gigabytes."""
    made = Types()
    number = made.add(lambda i: t.Int(i, "x", (1 << 32) - 1, 32, 0, 1))
    made.struct("s", 8, ("a", number, 0, 4))
    return made.blob()


def symbols_with_long_names(scale: int) -> bytes:
    """Each symbol is called by another tail of one long string."""
    elf = Elf()
    code = elf.section("xdp", PROGBITS, ALLOC | EXEC, EXIT)
    elf.symbol("x" * scale, FUNC | GLOBAL, code, 0, 8)
    for i in range(scale // 2):
        elf._symbols += struct.pack("<IBBHQQ", 2 + i, 0, 0, 0, 0, 0)
    return elf.build()


# target, shape, scale
SHAPES: tuple[tuple[str, Shape, int], ...] = (
    ("btf", strings_that_share_tails, 100_000),
    ("object", flavours, 5_000),
    ("object", names_at_odd_places, 5_000),
    ("object", nameless_structs, 30),
    ("object", nested_unions, 30),
    ("object", member_in_nameless_structs, 30),
    ("object", matching_structs, 30),
    ("object", compatible_functions, 15),
    ("object", enumerators, 10_000),
    ("object", wide_enums, 10_000),
    ("object", sections, 20_000),
    ("object", sections_that_overlap, 5_000),
    ("object", empty_data, 5_000),
    ("object", listed_sections, 10_000),
    ("object", functions_and_lines, 10_000),
    ("object", programs_that_share, 10_000),
    ("object", map_definitions, 10_000),
    ("object", large_options, 1),
    ("btf", wide_integers, 1),
    ("object", symbols_with_long_names, 100_000),
    ("symbols", symbols_with_long_names, 100_000),
    ("dump", strings_that_share_tails, 100_000),
)
