"""``relocs``: what each CO-RE relocation of an object becomes on a kernel."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TextIO

from pybpfload.btf.blob import Btf
from pybpfload.btf.ext import CoreKind
from pybpfload.cli.btf import open_btf
from pybpfload.cli.command import Command, complain, count, fit, shorten, terminal_width, wrapped, write_json
from pybpfload.closest import closest
from pybpfload.core import Resolver
from pybpfload.errors import BpfError, ObjectError, UnsupportedError, printable
from pybpfload.linker import ObjectResolver, link, make_resolver
from pybpfload.objectspec import ObjectSpec, read_object
from pybpfload.relocations import Relocation, Relocations
from pybpfload.spec import ProgramSpec
from pybpfload.targets import kernel_types

__all__ = ["COMMAND"]

WORDS = {
    CoreKind.FIELD_BYTE_OFFSET: "offset",
    CoreKind.FIELD_BYTE_SIZE: "size",
    CoreKind.FIELD_EXISTS: "exists",
    CoreKind.FIELD_SIGNED: "signed",
    CoreKind.FIELD_LSHIFT_U64: "shift left",
    CoreKind.FIELD_RSHIFT_U64: "shift right",
    CoreKind.TYPE_ID_LOCAL: "own type id",
    CoreKind.TYPE_ID_TARGET: "type id",
    CoreKind.TYPE_EXISTS: "type exists",
    CoreKind.TYPE_SIZE: "type size",
    CoreKind.TYPE_MATCHES: "type matches",
    CoreKind.ENUMVAL_EXISTS: "value exists",
    CoreKind.ENUMVAL_VALUE: "value",
}
YES_OR_NO = {
    CoreKind.FIELD_EXISTS, CoreKind.FIELD_SIGNED, CoreKind.TYPE_EXISTS, CoreKind.TYPE_MATCHES, CoreKind.ENUMVAL_EXISTS,
}  # fmt: skip
SOURCE = re.compile(r"(.*?):(\d+): ?(.*)", re.DOTALL)
STATES = ("adjusted", "unchanged", "missing", "poisoned", "failed", "undecided")
MIN_SECTION = 12  # characters of a section's name, whatever the width
POISONED, FAILED = "POISONED", "FAILED"
MAX_SHOWN = 200_000  # relocations: programs that share functions can have any number


class Entry(NamedTuple):
    """One relocation; `error` when it could not be decided."""

    relo: Relocation
    error: str | None = None


class Report(NamedTuple):
    """One program's relocations; `error` when it cannot be linked because of one of them, or of something else."""

    program: ProgramSpec
    entries: list[Entry]
    error: str | None


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("object", metavar="OBJ", help="a BPF object file")
    parser.add_argument(
        "--btf", metavar="FILE", help="the types to relocate against: raw BTF or an ELF file; else the running kernel's"
    )
    parser.add_argument("--local", action="store_true", help="show just what the object names")
    parser.add_argument("--program", metavar="NAME", help="only this program")


def _run(arguments: argparse.Namespace, out: TextIO) -> int:
    spec = read_object(arguments.object)
    targets, label = _targets(arguments)
    reports = _reports(spec, _chosen(spec, arguments.program), targets)
    if arguments.json:
        write_json(out, _document(spec, label, reports))
    else:
        out.writelines(f"{line.rstrip()}\n" for line in _lines(spec, label, reports))
    failed = [report.error for report in reports if report.error]
    for error in failed:
        complain(error)
    return int(bool(failed))


COMMAND = Command("relocs", "what each CO-RE relocation of an object becomes on a kernel", _configure, _run)


def _targets(arguments: argparse.Namespace) -> tuple[Iterable[Btf] | None, str | None]:
    """What to relocate against, and how to call it; None for nothing."""
    if arguments.local:
        return None, None
    if arguments.btf is not None:
        return kernel_types(open_btf(arguments.btf)), str(arguments.btf)
    try:
        return kernel_types(), f"vmlinux {os.uname().release}"
    except UnsupportedError:
        return None, None


def _chosen(spec: ObjectSpec, name: str | None) -> list[ProgramSpec]:
    if name is None:
        return list(spec.programs.values())
    if name not in spec.programs:
        close = closest(name, spec.programs)
        hint = f"; closest is `{printable(close)}`" if close else ""
        raise ObjectError(f"{spec.source}: no program `{printable(name)}`{hint}")
    return [spec.programs[name]]


def _reports(spec: ObjectSpec, programs: list[ProgramSpec], targets: Iterable[Btf] | None) -> list[Report]:
    names = ObjectResolver(spec.btf, (), big_endian=spec.big_endian) if spec.btf else None
    named = [_named(spec, program, names) for program in programs]
    if sum(len(found) for found, _ in named) > MAX_SHOWN:
        raise ObjectError(f"{spec.source}: more than {MAX_SHOWN} relocations to show: choose a program (--program)")
    if targets is None:
        return [Report(program, list(map(Entry, found)), error) for program, (found, error) in zip(programs, named)]
    big_endian = next(iter(targets)).big_endian
    # One for all programs: what is decided for one of them counts for the others.
    resolver = make_resolver(spec, spec.programs.values(), targets, big_endian=big_endian)
    reports = []
    for program, (found, _) in zip(programs, named):
        try:
            relocations = link(spec, program, targets, resolver=resolver).relocations
            reports.append(Report(program, [Entry(relo) for relo in relocations], None))
        except BpfError as error:
            entries = [_decided(relo, resolver) for relo in found]
            reports.append(Report(program, entries, str(error)))
    return reports


def _named(spec: ObjectSpec, program: ProgramSpec, resolver: ObjectResolver | None) -> tuple[Relocations, str | None]:
    """A program's relocations, undecided; or why they cannot be read."""
    try:
        return (resolver.named(spec, program) if resolver else Relocations()), None
    except BpfError as error:
        return Relocations(), str(error)


def _decided(relo: Relocation, resolver: Resolver | None) -> Entry:
    """A relocation of a program that cannot be linked: decided all the same, if it is not itself the reason."""
    if resolver is None:
        return Entry(relo)
    try:
        resolution = resolver.resolve(relo.resolution.relo)
    except BpfError as error:
        return Entry(relo, str(error))
    return Entry(relo._replace(resolution=resolution, poisoned=resolution.poisoned or resolution.bad_resize))


# One relocation -----------------------------------------------------------------------------------


def _state(entry: Entry) -> str:
    """One of STATES."""
    relo, resolution = entry.relo, entry.relo.resolution
    if entry.error:
        return "failed"
    if resolution.target is None:
        return "undecided"
    if relo.poisoned:
        return "poisoned"
    if resolution.target_btf is None:
        return "missing"
    return "unchanged" if resolution.target.number == resolution.local.number else "adjusted"


def _access(relo: Relocation) -> tuple[str, str]:
    """``struct`` and ``task_struct.signal``."""
    kind, _, access = relo.resolution.local_access.partition(" ")
    return kind, access


def _value(kind: CoreKind, number: int) -> str:
    return ("yes" if number else "no") if kind in YES_OR_NO else str(number)


def _matched(relo: Relocation) -> str:
    """The target's type, or why there is none."""
    resolution = relo.resolution
    target, btf = resolution.target, resolution.target_btf
    if target is None:
        return ""
    if btf is None:
        return "not found"
    text = f"{printable(btf.type(resolution.target_id).name) or '(anonymous)'} [{resolution.target_id}]"
    if btf.base is not None:
        text += f" of {printable(btf.name)}"
    if resolution.local.size != target.size:
        text += f", {resolution.local.size} -> {target.size} bytes{' of a signed integer' if relo.poisoned else ''}"
    return text


# The document -------------------------------------------------------------------------------------


def _document(spec: ObjectSpec, label: str | None, reports: list[Report]) -> dict[str, Any]:
    states = _count(reports)
    return {
        "object": spec.source,
        "against": label,
        "programs": [
            {
                "name": report.program.name,
                "section": report.program.section,
                "error": report.error,
                "relocations": [_entry(entry) for entry in report.entries],
            }
            for report in reports
        ],
        "summary": {
            "programs": len(reports),
            "failed_programs": sum(1 for report in reports if report.error),
            "relocations": sum(states.values()),
            **{state: states[state] for state in STATES},
        },
    }


def _count(reports: list[Report]) -> Counter[str]:
    return Counter(_state(entry) for report in reports for entry in report.entries)


def _entry(entry: Entry) -> dict[str, Any]:
    relo, resolution = entry.relo, entry.relo.resolution
    target, btf = resolution.target, resolution.target_btf
    kind, access = _access(relo)
    source = SOURCE.fullmatch(relo.line)
    matched = None
    if target is not None and btf is not None:
        found = btf.type(resolution.target_id)
        matched = {"btf": btf.name, "id": resolution.target_id, "kind": found.kind.name.lower(), "name": found.name}
    return {
        "function": relo.function,
        "insn": relo.slot,
        "kind": resolution.relo.kind.name.lower(),
        "type": kind,
        "access": access,
        "local": resolution.local.number,
        "local_size": resolution.local.size or None,
        "target": None if target is None or relo.poisoned else target.number,
        "target_size": None if target is None or relo.poisoned else target.size or None,
        "state": _state(entry),
        "error": entry.error,
        "matched": matched,
        "file": source[1] if source else None,
        "line": int(source[2]) if source else None,
        "source": source[3] if source else None,
    }


# The text -----------------------------------------------------------------------------------------


class Row(NamedTuple):
    """The cells of one relocation."""

    slot: str
    kind: str
    access: str
    local: str
    sign: str
    target: str
    matched: str


def _row(entry: Entry) -> Row:
    relo, resolution, kind = entry.relo, entry.relo.resolution, entry.relo.resolution.relo.kind
    sign, target = "", ""
    if resolution.target is not None or entry.error:
        sign = "=" if _state(entry) == "unchanged" else "->"
    if resolution.target is not None:
        target = POISONED if relo.poisoned else _value(kind, resolution.target.number)
    local = _value(kind, resolution.local.number)
    return Row(
        str(relo.slot), WORDS[kind], _access(relo)[1], local, sign, FAILED if entry.error else target, _matched(relo)
    )


def _lines(spec: ObjectSpec, label: str | None, reports: list[Report]) -> Iterator[str]:
    yield f"{spec.source}, " + (
        f"against {printable(label)}" if label else "by itself: not relocated against any types"
    )
    busy = [report for report in reports if report.entries or report.error]
    rows = {id(entry): _row(entry) for report in busy for entry in report.entries}
    width = terminal_width()
    layout = _Columns(list(rows.values()), width, decided=label is not None)
    if rows:
        yield ""
        yield layout.head
    for report in busy:
        yield ""
        name, section = printable(report.program.name), printable(report.program.section)
        rest = f", {count(len(report.entries), 'relocation')}"
        yield f"{name}  {shorten(section, max(MIN_SECTION, width - len(name) - len(rest) - 2))}{rest}"
        if report.error and not any(entry.error for entry in report.entries):
            yield f"  error: {report.error}"
        yield from _program_lines(report, rows, layout, width)
    idle = [printable(report.program.name) for report in reports if report not in busy]
    yield ""
    if idle and busy:
        yield from wrapped("no relocations in ", idle, width)
    yield _summary(reports)


def _program_lines(report: Report, rows: dict[int, Row], layout: _Columns, width: int) -> Iterator[str]:
    """Relocations in the order of the code, below the source line that they come from."""
    function = line = None
    for entry in report.entries:
        relo = entry.relo
        if relo.function != function:
            if function is not None or relo.function != report.program.name:
                yield f"  in {printable(relo.function)}()"
            function, line = relo.function, None
        if relo.line != line:
            line = relo.line
            source = SOURCE.fullmatch(line)
            if source:
                text = f"  {source[1]}:{source[2]}  {source[3]}"
                yield text if len(text) <= width else f"{text[: width - 3]}..."
            elif line is not None:
                yield "  (no source line)"
        yield layout.line(rows[id(entry)])
        if entry.error:
            yield f"          error: {entry.error}"


class _Columns:
    """Widths that all programs share, so that their columns stand below each other."""

    HEAD = Row("insn", "", "", "object", "", "target", "type [id]")
    INDENT = "    "

    def __init__(self, rows: list[Row], width: int, *, decided: bool) -> None:
        head = self.HEAD if decided else self.HEAD._replace(local="value", target="", matched="")
        rows = [head, *rows]
        room = width - len(self.INDENT) - len("  ") * 4 - len(" ") * 2
        self._brief = False
        widths = self._measure(rows)
        if sum(widths) > room:
            # Most matches have the name that the access begins with.
            self._brief = True
            widths = self._measure(rows)
        self._widths = fit(widths, room, (2, 6))
        self.head = self.line(head)

    def _measure(self, rows: list[Row]) -> list[int]:
        return [max(map(len, column)) for column in zip(*map(self._shown, rows))]

    def _shown(self, row: Row) -> Row:
        name, space, rest = row.matched.partition(" [")
        if self._brief and space and row.access.startswith(name):
            return row._replace(matched=f"[{rest}")
        return row

    def line(self, row: Row) -> str:
        """The line of a relocation."""
        row, w = self._shown(row), self._widths
        return (
            f"{self.INDENT}{row.slot:>{w[0]}}  {row.kind:<{w[1]}}  {shorten(row.access, w[2]):<{w[2]}}  "
            f"{row.local:>{w[3]}} {row.sign:>{w[4]}} {row.target:>{w[5]}}  {shorten(row.matched, w[6])}"
        ).rstrip()


def _summary(reports: list[Report]) -> str:
    states = _count(reports)
    total = sum(states.values())
    text = f"{count(total, 'relocation')} in {count(len(reports), 'program')}"
    parts = [f"{states[state]} {state}" for state in STATES if states[state] or state in ("adjusted", "poisoned")]
    if total and states["undecided"] < total:
        text += f": {', '.join(parts)}"
    broken = sum(1 for report in reports if report.error)
    return text + (f"; {count(broken, 'program')} cannot be loaded" if broken else "")
