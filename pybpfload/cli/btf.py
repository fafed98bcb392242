"""``btf``: types as C."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, TextIO

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.cnames import comment
from pybpfload.btf.dump import dump_all, dump_type, type_name
from pybpfload.btf.types import Kind
from pybpfload.cli.command import Command, count, table, terminal_width, wrapped, write_json
from pybpfload.errors import BtfError, printable
from pybpfload.targets import SYSFS, kernel_btf, read_btf

__all__ = ["COMMAND", "open_btf"]

KERNEL = "vmlinux"
MAX_LISTED = 2000  # types of which the names are listed
MAX_TYPED, MAX_COMPARED = 64, 5000  # length of a name, number of names, that are compared with others
KEYWORDS = {"struct": Kind.STRUCT, "union": Kind.UNION, "enum": Kind.ENUM, "typedef": Kind.TYPEDEF}
SIZED = (t.Int, t.Composite, t.Enum, t.Float, t.Datasec)
GUARD = "#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n"
PUSH = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

"""
POP = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n"
END = "#endif /* __VMLINUX_H__ */\n"
RECORD = re.compile(r"\b(struct|union)\b[^;]*\{")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="OBJ|vmlinux|FILE", help="an ELF file with .BTF, raw BTF, or the running kernel"
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="a type: file, 'struct file'; without it, a summary")
    parser.add_argument("--base", metavar="FILE", help="what the BTF of a module continues: a file or vmlinux")
    parser.add_argument("--c", action="store_true", help="plain C: of NAME, or a header of everything")


def _run(arguments: argparse.Namespace, out: TextIO) -> int:
    btf = open_btf(arguments.source, arguments.base)
    if arguments.name is not None:
        found = find(btf, arguments.name)
        if arguments.json:
            write_json(out, [describe(btf, one) for one in found])
            return 0
        for i, one in enumerate(found):
            out.write("\n" * bool(i))
            text = dump_type(btf, one.id, offsets=not arguments.c)
            out.write((text if arguments.c else f"{_heading(btf, one)}\n{text}") + "\n")
    elif arguments.json:
        write_json(out, summary(btf))
    elif arguments.c:
        out.writelines(_header(btf))
    else:
        out.writelines(f"{line}\n" for line in _summary_lines(btf))
    return 0


COMMAND = Command("btf", "types of an object, a kernel or a file, as C", _configure, _run)


def open_btf(source: str, base: str | None = None) -> Btf:
    """The BTF that an argument names: the running kernel's for ``vmlinux``.

    What lies beside the kernel's in /sys/kernel/btf continues it without being told to.
    """
    if source == KERNEL:
        if base is not None:
            raise BtfError("vmlinux has no base: --base is for the BTF of a module")
        return kernel_btf()
    folder, name = os.path.split(os.path.abspath(source))
    if base is not None:
        return read_btf(source, base=open_btf(base))
    if folder == SYSFS and name != KERNEL:
        return read_btf(source, base=kernel_btf())
    return read_btf(source)


def find(btf: Btf, name: str) -> list[t.Type]:
    """Every type of a name, which may say what it is: ``struct file``.

    Raises:
        BtfError: there is none; says what comes closest.
    """
    word, _, rest = name.partition(" ")
    kind = KEYWORDS.get(word) if rest else None
    bare = rest.strip() if kind else name
    kinds = (Kind.ENUM, Kind.ENUM64) if kind is Kind.ENUM else (kind,) if kind else tuple(Kind)
    found = [one for one in map(btf.type, btf.ids(bare)) if one.kind in kinds]
    if not found:
        close = _closest(btf, bare)
        raise BtfError(
            f"{btf.name}: no type `{printable(name)}`" + (f"; closest is `{printable(close)}`" * bool(close))
        )
    return found


def _closest(btf: Btf, name: str) -> str:
    """The most similar name of a type, among those of about that length with the same first letter.

    A kernel has too many names to compare them all, and not every string is the name of a type.
    """
    wanted, length = name.encode("utf-8", "surrogateescape"), len(name)
    if length > MAX_TYPED:
        return ""
    near = (
        raw.decode("utf-8", "backslashreplace")
        for level in (btf, btf.base)
        if level is not None
        for raw in level.string_section.split(b"\0")
        if raw[:1] == wanted[:1] and abs(len(raw) - length) <= 2
    )
    similar = get_close_matches(name, islice(near, MAX_COMPARED), 8, 0.7)
    return next((text for text in similar if btf.ids(text)), "")


# The documents ------------------------------------------------------------------------------------


def summary(btf: Btf) -> dict[str, Any]:
    """Numbers of types by kind, and of few types the names."""
    kinds = Counter(btf.kinds())
    document: dict[str, Any] = {
        "name": btf.name,
        "byte_order": "big" if btf.big_endian else "little",
        "size": len(btf.data),
        "types": sum(kinds.values()),
        "first_id": btf.first_id,
        "kinds": {_kind_name(number): amount for number, amount in sorted(kinds.items())},
        "names": None,
    }
    if document["types"] <= MAX_LISTED:
        names: dict[str, list[str]] = {}
        for found in btf:
            if found.name:
                names.setdefault(_kind_name(found.kind), []).append(found.name)
        document["names"] = names
    return document


def _kind_name(number: int) -> str:
    return Kind(number).name.lower() if number < len(Kind) else f"unknown_{number}"


def describe(btf: Btf, found: t.Type) -> dict[str, Any]:
    """One type, ready for JSON. docs/library-cli.md names the members."""
    document: dict[str, Any] = {
        "id": found.id,
        "kind": _kind_name(found.kind),
        "name": found.name,
        "size": found.size if isinstance(found, SIZED) else None,
        "c": dump_type(btf, found.id),
    }
    if isinstance(found, t.Composite):
        document["members"] = [
            {
                "name": member.name,
                "type": type_name(btf, member.type),
                "type_id": member.type,
                "bit_offset": member.bit_offset,
                "bitfield_size": member.bitfield_size or None,
                "size": btf.size_of(member.type),
            }
            for member in found.members
        ]
    if isinstance(found, t.Enum):
        document["values"] = [{"name": name, "value": value} for name, value in found.values]
    if isinstance(found, t.Typedef):
        document["type"] = type_name(btf, found.type)
    return document


def _header(btf: Btf) -> Iterator[str]:
    """A header for BPF programs, relocatable like vmlinux.h."""
    declarations = [f"{text}\n\n" for text in dump_all(btf)]
    # Compilers complain of an attribute that applies to nothing.
    relocatable = any(map(RECORD.search, declarations))
    yield GUARD
    yield PUSH * relocatable
    yield from declarations
    yield POP * relocatable
    yield END


# The text -----------------------------------------------------------------------------------------


def _heading(btf: Btf, found: t.Type) -> str:
    facts = [f"[{found.id}] {btf.describe(found.id)}"]
    if isinstance(found, SIZED):
        facts.append(count(found.size, "byte"))
    if isinstance(found, t.Typedef):
        target = btf.skip(found.id)
        if isinstance(target, SIZED):
            facts.append(count(target.size, "byte"))
    if isinstance(found, t.Composite):
        facts.append(count(len(found.members), "member"))
    if isinstance(found, t.Enum):
        facts.append(count(len(found.values), "value"))
    return f"/* {comment(', '.join(facts))} */"


def _summary_lines(btf: Btf) -> Iterator[str]:
    document = summary(btf)
    order = "big-endian" if btf.big_endian else "little-endian"
    yield f"{printable(btf.name)}: {count(document['types'], 'type')} in {document['size']} bytes, {order}"
    if btf.base is not None:
        yield f"  continues {printable(btf.base.name)}: ids from {btf.first_id} on"
    names = document["names"] or {}
    rows = [(kind, str(amount)) for kind, amount in document["kinds"].items()]
    for (kind, _), line in zip(rows, table(rows, width=terminal_width(), indent="  ", right=(1,))):
        listed = map(printable, names.get(kind, ()))
        yield from wrapped(f"{line}  ", listed, terminal_width()) or [line]
