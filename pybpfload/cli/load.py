"""``load``: how each program of an object fares on this kernel, and what its ring buffers say."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple, TextIO

from pybpfload import insn, loader
from pybpfload._sys import pins
from pybpfload.btf.blob import Btf
from pybpfload.cli.btf import open_btf
from pybpfload.cli.command import Command, complain, count, table, terminal_width, write_json
from pybpfload.cli.stream import rings_of, stream
from pybpfload.errors import BpfError, ObjectError, PrivilegeError, VerifierError, printable
from pybpfload.linker import reachable
from pybpfload.links import attach
from pybpfload.maps import Map
from pybpfload.objectspec import ObjectSpec, read_object
from pybpfload.progs import Program
from pybpfload.spec import ProgramSpec
from pybpfload.uapi import MapType

__all__ = ["COMMAND"]

MAPS_FOLDER = "maps"


class Verdict(NamedTuple):
    """How one program fared.

    Attributes:
        slots: before it was loaded; None when its code cannot be put together.
        program: in the kernel, or None.
        error: what was in its way, or None; "skipped" programs have neither.
        attached: to what, or None.
        attach_error: why it was not attached.
    """

    spec: ProgramSpec
    slots: int | None
    program: Program | None = None
    verified: int | None = None
    error: Exception | None = None
    attached: str | None = None
    attach_error: str | None = None

    @property
    def word(self) -> str:
        """``loaded``, ``failed`` or ``skipped``."""
        return "loaded" if self.program else "failed" if self.error else "skipped"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("object", metavar="OBJ", help="a BPF object file")
    parser.add_argument("--program", metavar="NAME", action="append", help="only this program; may be repeated")
    parser.add_argument("--btf", metavar="FILE", help="the types to relocate against, in place of the running kernel's")
    parser.add_argument("--pin", metavar="DIR", help="pin programs in DIR and maps in DIR/maps, on a bpffs")
    parser.add_argument("--attach", action="store_true", help="attach, and write the events of ring buffers as JSON")
    parser.add_argument(
        "--duration", metavar="S", type=float, help="with --attach, stop after S seconds, not at Ctrl-C"
    )


def _run(arguments: argparse.Namespace, out: TextIO) -> int:
    spec = read_object(arguments.object)
    for name in arguments.program or ():
        if name not in spec.programs:
            raise ObjectError(f"{spec.source}: no program `{printable(name)}`")
    kernel = open_btf(arguments.btf) if arguments.btf is not None else None
    chosen = arguments.program or list(spec.programs)
    with ExitStack() as stack:
        maps, trouble = _create_maps(spec, kernel, stack)
        verdicts = [_load(spec, name, maps, kernel, stack) for name in chosen]
        trouble.update(_fill_program_arrays(spec, maps, verdicts))
        if arguments.attach:
            verdicts = [_attach(one, stack) for one in verdicts]
        if arguments.pin is not None:
            _pin(arguments.pin, maps, verdicts)
        document = _document(spec, maps, trouble, verdicts)
        _show(arguments, out, spec, document)
        if arguments.attach and any(one.attached for one in verdicts):
            if rings_of(spec) or arguments.duration is not None:
                stream(spec, maps, out, arguments.duration)
            else:
                complain(f"{spec.source}: no ring buffer to read")
    failed = trouble or any(one.error for one in verdicts)
    return int(bool(failed) or (arguments.attach and not any(one.attached for one in verdicts)))


COMMAND = Command("load", "load each program on its own, say how that went; attach and show events", _configure, _run)


# The kernel ---------------------------------------------------------------------------------------


def _alone(spec: ObjectSpec, name: str | None) -> None:
    for program in spec.programs.values():
        program.autoload = program.name == name


def _create_maps(spec: ObjectSpec, kernel: Btf | None, stack: ExitStack) -> tuple[dict[str, Map], dict[str, Exception]]:
    """All maps, which the programs then share, and those that could not be created.

    A program that uses one of these fails by itself.
    """
    _alone(spec, None)
    for one in spec.maps.values():
        if one.type is MapType.RINGBUF:
            # It has no values. A type that it has all the same says what its records are.
            one.key_size = one.value_size = 0
    try:
        return stack.enter_context(loader.load(spec, kernel_btf=kernel)).maps, {}
    except (BpfError, OSError) as error:
        first = error
    wanted = [one for one in spec.maps.values() if one.autocreate]
    trouble: dict[str, Exception] = {}
    for one in wanted:
        for other in wanted:
            other.autocreate = other is one
        try:
            loader.load(spec, kernel_btf=kernel).close()
        except (BpfError, OSError) as error:
            trouble[one.name] = error
    for one in wanted:
        one.autocreate = one.name not in trouble
    if not trouble:
        raise first  # it was no map's fault
    return stack.enter_context(loader.load(spec, kernel_btf=kernel)).maps, trouble


def _slots(spec: ObjectSpec, program: ProgramSpec) -> int | None:
    try:
        return sum(len(spec.functions[key].code) // insn.SLOT for key in reachable(spec, program))
    except ObjectError:
        return None


def _load(spec: ObjectSpec, name: str, maps: dict[str, Map], kernel: Btf | None, stack: ExitStack) -> Verdict:
    _alone(spec, name)
    verdict = Verdict(spec.programs[name], _slots(spec, spec.programs[name]))
    # A struct_ops map is no map before its programs are there: each load makes its own.
    shared = {n: m for n, m in maps.items() if not spec.maps[n].struct_ops}
    try:
        obj = stack.enter_context(loader.load(spec, maps=shared, kernel_btf=kernel))
    except (BpfError, OSError) as error:
        return verdict._replace(error=error)
    program = obj.programs.get(name)
    if program is None:
        return verdict  # a struct_ops program that no map has
    return verdict._replace(program=program, verified=program.info().verified_insns or None)


def _fill_program_arrays(
    spec: ObjectSpec, maps: dict[str, Map], verdicts: list[Verdict]
) -> Iterator[tuple[str, Exception]]:
    """What the object puts into program arrays, now that there are programs; gives maps that refuse one, and why."""
    programs = {one.spec.name: one.program for one in verdicts if one.program}
    for map_spec in spec.maps.values():
        if map_spec.type is not MapType.PROG_ARRAY or map_spec.name not in maps:
            continue
        for index, name in map_spec.values.items():
            if name in programs:
                key, value = (number.to_bytes(4, sys.byteorder) for number in (index, programs[name].fileno()))
                try:
                    maps[map_spec.name][key] = value
                except (BpfError, OSError) as error:
                    yield map_spec.name, error
                    break


def _attach(verdict: Verdict, stack: ExitStack) -> Verdict:
    if verdict.program is None:
        return verdict
    try:
        link = stack.enter_context(attach(verdict.program))
    except (BpfError, OSError) as error:
        return verdict._replace(attach_error=str(error))
    return verdict._replace(attached=link.target)


def _pin(folder: str, maps: dict[str, Map], verdicts: list[Verdict]) -> None:
    """Pin all, or nothing. A bpffs takes no dots in names."""
    rows = [(f"{folder}/{one.spec.name}", one.program.fileno()) for one in verdicts if one.program]
    rows += [(f"{folder}/{MAPS_FOLDER}/{name}", one.fileno()) for name, one in maps.items()]
    made: list[str] = []
    created: list[str] = []
    try:
        for place in (folder, f"{folder}/{MAPS_FOLDER}"):
            if not os.path.isdir(place):
                os.mkdir(place)
                created.append(place)
        for path, fd in rows:
            head, _, name = path.rpartition("/")
            pins.pin(fd, f"{head}/{name.replace('.', '_')}")
            made.append(f"{head}/{name.replace('.', '_')}")
    except BaseException:
        for path in made:
            os.unlink(path)
        for place in reversed(created):
            os.rmdir(place)
        raise


# The document -------------------------------------------------------------------------------------


def _document(
    spec: ObjectSpec, maps: dict[str, Map], trouble: dict[str, Exception], verdicts: list[Verdict]
) -> dict[str, Any]:
    return {
        "object": spec.source,
        "kernel": os.uname().release,
        "programs": [
            {
                "name": one.spec.name,
                "section": one.spec.section,
                "type": one.spec.type.name,
                "verdict": one.word,
                "instructions": one.slots,
                "verified_instructions": one.verified,
                **_reason(one.error),
                "attached": one.attached,
                "attach_error": one.attach_error,
            }
            for one in verdicts
        ],
        "maps": [
            {"name": name, "id": maps[name].id if name in maps else None, **_reason(trouble.get(name))}
            for name in spec.maps
        ],
        "rings": {
            name: (f"{codec.kind} {getattr(codec, 'name', '')}".strip() if codec else None)
            for name, codec in rings_of(spec).items()
        },
    }


def _reason(error: Exception | None) -> dict[str, Any]:
    """What was in the way, ready for JSON."""
    number = getattr(error, "errno", None)
    verifier = error if isinstance(error, VerifierError) else None
    return {
        "error": str(error) if error else None,
        "errno": errno.errorcode.get(number, str(number)) if number else None,
        "hint": (error.hint or None) if isinstance(error, PrivilegeError) else None,
        "insn": verifier.insn if verifier else None,
        "source": (verifier.source or None) if verifier else None,
        "log": verifier.log if verifier else None,
    }


# The text -----------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace, out: TextIO, spec: ObjectSpec, document: dict[str, Any]) -> None:
    """The verdicts; when events follow on stdout, they go to stderr, or are the first line of JSON."""
    if arguments.json and arguments.attach:
        import json

        out.write(json.dumps(document) + "\n")
        out.flush()
    elif arguments.json:
        write_json(out, document)
    else:
        target = sys.stderr if arguments.attach else out
        target.writelines(f"{line.rstrip()}\n" for line in _lines(spec, document))
        target.flush()


def _lines(spec: ObjectSpec, document: dict[str, Any]) -> Iterator[str]:
    programs = document["programs"]
    loaded = sum(1 for one in programs if one["verdict"] == "loaded")
    yield f"{spec.source} on Linux {document['kernel']}: {loaded} of {count(len(programs), 'program')} loaded"
    yield ""
    rows = [("name", "section", "verdict", "insns", "verified", "")]
    for one in programs:
        numbers = (str(one[key]) if one[key] is not None else "-" for key in ("instructions", "verified_instructions"))
        note = one["errno"] or (f"attached to {one['attached']}" if one["attached"] else "")
        rows.append((printable(one["name"]), printable(one["section"]), one["verdict"], *numbers, printable(note)))
    lines = table(rows, width=terminal_width(), indent="  ", right=(3, 4))
    yield lines[0]
    for one, line in zip(programs, lines[1:]):
        yield line
        yield from _details(one)
    for one in document["maps"]:
        if one["error"]:
            yield f"  map {printable(one['name'])}"
            yield from _details(one)


def _details(entry: dict[str, Any]) -> Iterator[str]:
    for line in (entry["error"] or "").splitlines():
        yield f"      {line}"
    if entry["hint"]:
        yield f"      hint: {entry['hint']}"
    if entry.get("attach_error"):
        yield f"      not attached: {printable(entry['attach_error'])}"
