"""C headers made from BTF, compiled again: what a compiler makes of them is the judge."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pybpfload.btf import Btf
from pybpfload.btf import types as t
from pybpfload.btf.dump import type_name
from pybpfload.targets import read_btf
from tests.support.gates import require_tool

KEYWORDS = {t.Kind.STRUCT: "struct", t.Kind.UNION: "union", t.Kind.ENUM: "enum", t.Kind.ENUM64: "enum"}
FLAGS = ("-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-x", "c")


def compiled(text: str, folder: Path, *, flags: Iterable[str] = ()) -> Btf:
    """The BTF of C text."""
    return read_btf(compile_text(text, folder, flags=flags), name="compiled")


def compile_text(text: str, folder: Path, *, flags: Iterable[str] = ()) -> Path:
    """The object of C text; a warning is an error."""
    source, made = folder / "types.c", folder / "types.o"
    source.write_text(text)
    run = subprocess.run(
        [require_tool("clang-19"), *FLAGS, *flags, "-c", str(source), "-o", str(made)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stderr[:3000]}\n{text[:3000]}"
    return made


def anchored(text: str, names: Iterable[str]) -> str:
    """The text with a pointer to each type: compilers leave out what nobody uses."""
    return text + "".join(f"\n{name} *anchor_{i};" for i, name in enumerate(names)) + "\n"


def names_of(btf: Btf) -> list[str]:
    """``struct x``, ``typedef_y``: the types with a name and a body, of those that C has names for."""
    found: dict[str, None] = {}
    for one in btf:
        if isinstance(one, (t.Composite, t.Enum)) and one.name:
            found[f"{KEYWORDS[one.kind]} {one.name}"] = None
        elif isinstance(one, t.Typedef):
            found[one.name] = None
    return list(found)


def meaning(btf: Btf) -> dict[str, object]:
    """What BTF says of each named type, without ids: size, members with their types and places, values."""
    found: dict[str, object] = {}
    for one in btf:
        if isinstance(one, t.Composite) and one.name:
            found.setdefault(f"{KEYWORDS[one.kind]} {one.name}", _composite(btf, one))
        elif isinstance(one, t.Enum) and one.name:
            found.setdefault(f"enum {one.name}", (one.size, one.values))
        elif isinstance(one, t.Typedef):
            found.setdefault(one.name, (canonical(type_name(btf, one.type)), *_inside(btf, one.type)))
    return found


def _composite(btf: Btf, one: t.Composite) -> tuple[object, ...]:
    members = []
    for member in one.members:
        if member.name.startswith("__hole"):
            continue
        inner = btf.skip(member.type, typedefs=False)
        bits, offset = member.bitfield_size, member.bit_offset
        if isinstance(inner, t.Int) and (inner.bits != inner.size * 8 or inner.offset):
            bits, offset = inner.bits, offset + inner.offset
        name = canonical(type_name(btf, member.type))
        if not member.name and isinstance(inner, t.Composite):
            name = KEYWORDS[inner.kind]  # with -fms-extensions it may have a name, which C text cannot keep
        members.append((member.name, offset, bits, name, *_inside(btf, member.type, named=not member.name)))
    return (one.size, *members)


def _inside(btf: Btf, type_id: int, *, named: bool = False) -> tuple[object, ...]:
    """What stands in the body of a type that has no name, also behind arrays and pointers."""
    for _ in range(8):
        inner = btf.skip(type_id, typedefs=False)
        if not isinstance(inner, (t.Array, t.Ptr)):
            break
        type_id = inner.type
    if isinstance(inner, t.Composite) and (named or not inner.name):
        return _composite(btf, inner)
    return inner.values if isinstance(inner, t.Enum) and not inner.name else ()


def canonical(name: str) -> str:
    """Compilers differ in how they call integers: ``long unsigned int`` and ``unsigned long`` are one."""

    def one(match: re.Match[str]) -> str:
        words = [word for word in match[0].split() if word != "int"]
        return " ".join(sorted(words)) or "int"

    return re.sub(r"\b(?:long|short|unsigned|int)\b(?: (?:long|short|unsigned|int)\b)*", one, name)


def assertions(btf: Btf, names: dict[int, str]) -> str:
    """Size of each struct and union, offset and size of each member, as C assertions.

    Args:
        names: id to what the text calls the type.
    """
    lines = []
    for type_id, name in names.items():
        one = btf.type(type_id)
        assert isinstance(one, t.Composite)
        lines.append(f'_Static_assert(sizeof({name}) == {one.size}, "{name}");')
        for path, bits, member in _paths(btf, one, "", 0):
            lines.append(f'_Static_assert(__builtin_offsetof({name}, {path}) == {bits // 8}, "{name}.{path}");')
            size = btf.size_of(member.type)
            lines.append(f'_Static_assert(sizeof((({name} *)0)->{path}) == {size}, "{name}.{path}");')
    return "\n".join(lines) + "\n"


def _paths(btf: Btf, one: t.Composite, path: str, bits: int) -> Iterable[tuple[str, int, t.Member]]:
    """Every member that is no bit-field, with those of anonymous members."""
    for member in one.members:
        inner = btf.skip(member.type)
        offset = bits + member.bit_offset
        if not member.name and isinstance(inner, t.Composite):
            yield from _paths(btf, inner, path, offset)
        elif member.name and not member.bitfield_size:
            yield path + member.name, offset, member
            if isinstance(inner, t.Composite) and not inner.name:
                yield from _paths(btf, inner, f"{path}{member.name}.", offset)
