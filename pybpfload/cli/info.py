"""``info``: what an object file holds."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, TextIO

from pybpfload import insn
from pybpfload.btf import types as t
from pybpfload.btf.dump import type_name
from pybpfload.btf.layout import Record
from pybpfload.cli.command import Command, complain, count, shorten, table, terminal_width, wrapped, write_json
from pybpfload.errors import BpfError, printable
from pybpfload.linker import core_relocations, reachable
from pybpfload.objectspec import ObjectSpec, read_object
from pybpfload.sections import Flag
from pybpfload.spec import MapSpec, ProgramSpec, RefKind, Variable
from pybpfload.uapi import AttachType, MapFlag, MapType, ProgFlag

__all__ = ["COMMAND"]

MAX_VALUE = 4096  # bytes of a variable that are shown
MAX_TEXT = 40
OUTSIDE = (RefKind.KCONFIG, RefKind.KSYM, RefKind.KFUNC, RefKind.UNDEFINED)  # what somebody else provides


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("object", metavar="OBJ", help="a BPF object file")


def _run(arguments: argparse.Namespace, out: TextIO) -> int:
    spec = read_object(arguments.object)
    document = describe(spec)
    for program in document["programs"]:
        if program["error"]:
            complain(program["error"])
    if arguments.json:
        write_json(out, document)
    else:
        out.writelines(f"{line.rstrip()}\n" for line in _lines(spec, document))
    return int(any(program["error"] for program in document["programs"]))


COMMAND = Command("info", "programs, maps, variables and externs of an object", _configure, _run)


# The document -------------------------------------------------------------------------------------


def describe(spec: ObjectSpec) -> dict[str, Any]:
    """All that is known of an object, ready for JSON. docs/library-cli.md names the members."""
    return {
        "object": spec.source,
        "name": spec.name,
        "byte_order": "big" if spec.big_endian else "little",
        "license": spec.license,
        "kernel_version": spec.kernel_version,
        "btf_types": len(spec.btf) - 1 if spec.btf is not None else 0,
        "programs": [_program(spec, program) for program in spec.programs.values()],
        "maps": [_map(spec, found) for found in spec.maps.values()],
        "variables": [_variable(spec, spec.variables.spec(name)) for name in spec.variables],
        "externs": [
            {
                "name": extern.name,
                "section": extern.section,
                "type": _extern_type(spec, extern.type_id),
                "weak": extern.weak,
            }
            for extern in spec.externs.values()
        ],
        "records": [
            {"map": name, "type": f"{layout.kind} {layout.name}", "size": layout.size, "min_size": layout.min_size}
            for name, layout in spec.records.items()
        ],
    }


def _program(spec: ObjectSpec, program: ProgramSpec) -> dict[str, Any]:
    calls: list[str] = []
    refs: dict[RefKind, dict[str, None]] = {kind: {} for kind in RefKind}
    slots = relocations = 0
    error = None
    try:
        for key in reachable(spec, program):
            function = spec.functions[key]
            slots += len(function.code) // insn.SLOT
            relocations += len(core_relocations(spec, function))
            for ref in function.refs.values():
                refs[ref.kind][ref.name] = None
            if key != program.function:
                calls.append(function.name)
    except BpfError as problem:
        error = str(problem)
    attach = program.attach_type or program.flags & Flag.ATTACH_TYPE
    flags = [flag.name for bit, flag in _FLAGS.items() if program.flags & bit]
    return {
        "name": program.name,
        "section": program.section,
        "type": program.type.name,
        "attach_type": _name_of(AttachType, program.attach_type) if attach else None,
        "target": program.target or None,
        "autoload": program.autoload,
        "flags": flags,
        "instructions": slots,
        "calls": calls,
        "maps": list(dict.fromkeys([*refs[RefKind.MAP], *refs[RefKind.DATA]])),
        "externs": list(dict.fromkeys(n for kind in OUTSIDE for n in refs[kind])),
        "core_relocations": relocations,
        "error": error,
    }


_FLAGS = {Flag.SLEEPABLE: ProgFlag.SLEEPABLE, Flag.XDP_FRAGS: ProgFlag.XDP_HAS_FRAGS}


def _name_of(names: type[IntEnum], number: int) -> str:
    try:
        return names(number).name
    except ValueError:
        return str(number)


def _map(spec: ObjectSpec, found: MapSpec) -> dict[str, Any]:
    ops = found.struct_ops
    value_type = ops.type_id if ops else found.value_type if found.content is None else 0
    return {
        "name": found.name,
        "type": _name_of(MapType, found.type),
        "key_type": _type(spec, found.key_type),
        "key_size": found.key_size,
        "value_type": _type(spec, value_type),
        "value_size": found.value_size,
        "max_entries": found.max_entries,
        "flags": _flags(found.flags),
        "numa_node": found.numa_node,
        "map_extra": found.map_extra,
        "pinning": "by_name" if found.pin_by_name else None,
        "data": found.content is not None,
        "inner": _map(spec, found.inner) if found.inner is not None else None,
        "values": {str(index): symbol for index, symbol in found.values.items()},
        "struct_ops": dict(ops.programs) if ops else None,
        "autocreate": found.autocreate,
    }


def _flags(flags: int) -> list[str]:
    names = [flag.name or "" for flag in MapFlag if flags & flag]
    rest = flags & ~sum(MapFlag)
    return [*names, hex(rest)] if rest else names


def _type(spec: ObjectSpec, type_id: int) -> str | None:
    return type_name(spec.btf, type_id) if spec.btf is not None and type_id else None


def _extern_type(spec: ObjectSpec, type_id: int) -> str | None:
    found = spec.btf.type(type_id) if spec.btf is not None else None
    return _type(spec, found.type) if isinstance(found, (t.Var, t.Func)) else None


def _variable(spec: ObjectSpec, variable: Variable) -> dict[str, Any]:
    small = variable.size <= MAX_VALUE
    value = _plain(spec.variables[variable.name]) if small else None
    return {
        "name": variable.name,
        "section": variable.map.name,
        "type": _type(spec, variable.type_id),
        "offset": variable.offset,
        "size": variable.size,
        "value": value,
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: arrays of char are text."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Record):
        return {name: _plain(part) for name, part in zip(value.names, value)}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


# The text -----------------------------------------------------------------------------------------


def _lines(spec: ObjectSpec, document: dict[str, Any]) -> Iterator[str]:
    facts = [f"{document['byte_order']}-endian", f"license {printable(document['license']) or '(none)'}"]
    if document["kernel_version"]:
        facts.append(f"version {document['kernel_version']:#x}")
    facts.append(count(document["btf_types"], "BTF type") if document["btf_types"] else "no BTF")
    yield f"{spec.source}: {', '.join(facts)}"
    parts = (
        ("program", document["programs"], _program_lines),
        ("map", document["maps"], _map_lines),
        ("variable", [v for v in document["variables"] if v["section"] != ".kconfig"], _variable_lines),
        ("extern", document["externs"], _extern_lines),
        ("record", document["records"], _record_lines),
    )
    for noun, entries, lines in parts:
        if entries:
            yield ""
            yield count(len(entries), noun)
            yield from lines(entries)


def _program_lines(programs: list[dict[str, Any]]) -> Iterator[str]:
    rows = [("name", "section", "type", "attach type", "insns", "core")]
    for p in programs:
        section = printable(p["section"]) if p["autoload"] else f"?{printable(p['section'])}"
        core = "error" if p["error"] else str(p["core_relocations"])
        rows.append((printable(p["name"]), section, p["type"], p["attach_type"] or "-", str(p["instructions"]), core))
    lines = table(rows, indent="  ", right=(4, 5), width=terminal_width())
    yield lines[0]
    for line, p in zip(lines[1:], programs):
        yield line
        for verb, names in (("calls", p["calls"]), ("uses", p["maps"]), ("needs", p["externs"])):
            if names:
                yield from wrapped(f"      {verb} ", map(printable, names), terminal_width())


def _map_lines(maps: list[dict[str, Any]]) -> Iterator[str]:
    rows = [("name", "type", "key", "value", "entries", "")]
    below: list[dict[str, str]] = [{}]
    for m in maps:
        rows.append(_map_row(m, printable(m["name"])))
        below.append(m["struct_ops"] or m["values"])
        if m["inner"]:
            rows.append(_map_row(m["inner"], "  each"))
            below.append({})
    for line, pairs in zip(table(rows, indent="  ", right=(4,), width=terminal_width()), below):
        yield line
        yield from wrapped("      ", (f"{printable(k)} = {printable(v)}" for k, v in pairs.items()), terminal_width())


def _map_row(m: dict[str, Any], name: str) -> tuple[str, str, str, str, str, str]:
    notes = [*m["flags"]]
    if m["pinning"]:
        notes.append("pinned by name")
    if m["numa_node"] is not None:
        notes.append(f"NUMA node {m['numa_node']}")
    if m["map_extra"]:
        notes.append(f"extra {m['map_extra']:#x}")
    if not m["autocreate"]:
        notes.append("not by default")
    entries = str(m["max_entries"]) if m["max_entries"] else "-"
    return name, m["type"], _sized(m, "key"), _sized(m, "value"), entries, ", ".join(notes)


def _sized(m: dict[str, Any], what: str) -> str:
    size = m[f"{what}_size"]
    if m[f"{what}_type"]:
        return f"{printable(m[f'{what}_type'])} ({size})"
    return count(size, "byte") if size else "-"


def _variable_lines(variables: list[dict[str, Any]]) -> Iterator[str]:
    rows = [("name", "section", "type", "value")]
    for v in variables:
        value = "..." if v["value"] is None else shorten(_show(v["value"]), MAX_TEXT)
        rows.append((printable(v["name"]), printable(v["section"]), printable(v["type"] or "-"), value))
    yield from table(rows, indent="  ", width=terminal_width())


def _show(value: Any) -> str:
    """A value as C has it, more or less."""
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f".{printable(name)} = {_show(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(_show, value)) + "}"
    return str(value)


def _extern_lines(externs: list[dict[str, Any]]) -> Iterator[str]:
    rows = [("name", "section", "type", "")]
    rows += [
        (printable(e["name"]), e["section"], printable(e["type"] or "-"), "weak" if e["weak"] else "") for e in externs
    ]
    yield from table(rows, indent="  ", width=terminal_width())


def _record_lines(records: list[dict[str, Any]]) -> Iterator[str]:
    for r in records:
        sizes = count(r["size"], "byte") if r["size"] == r["min_size"] else f"{r['min_size']}..{r['size']} bytes"
        yield f"  {printable(r['map'])}: {printable(r['type'])}, {sizes}"
