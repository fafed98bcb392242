"""From a program's SEC() name to the function that attaches it."""

from __future__ import annotations

from typing import Callable

from pybpfload.errors import AttachError
from pybpfload.links.base import Link
from pybpfload.links.tracing import attach_raw_tracepoint, attach_tracepoint
from pybpfload.links.uprobe import attach_uprobe
from pybpfload.progs import Program

__all__ = ["attach"]


def _by_btf(program: Program, cookie: int) -> Link:
    return attach_raw_tracepoint(program, None, cookie)


def _raw(program: Program, cookie: int) -> Link:
    return attach_raw_tracepoint(program, program.spec.target, cookie)


def _tracepoint(program: Program, cookie: int) -> Link:
    category, slash, name = program.spec.target.partition("/")
    if not slash:
        raise AttachError(program.name, f"tracepoint {category}", "expected SEC(tracepoint/CATEGORY/NAME)")
    return attach_tracepoint(program, category, name, cookie)


def _uprobe(program: Program, cookie: int) -> Link:
    path, colon, symbol = program.spec.target.rpartition(":")
    if not colon:
        raise AttachError(program.name, program.spec.target, "expected SEC(uprobe/PATH:FUNCTION)")
    name, _, offset = symbol.partition("+")
    ret = program.spec.section.startswith("uretprobe")
    return attach_uprobe(program, path, name, offset=int(offset, 0) if offset else 0, ret=ret, cookie=cookie)


# By the section's head, without ".s".
ATTACH: dict[str, Callable[[Program, int], Link]] = {
    "tp_btf": _by_btf,
    "fentry": _by_btf,
    "fexit": _by_btf,
    "fmod_ret": _by_btf,
    "lsm": _by_btf,
    "raw_tp": _raw,
    "raw_tracepoint": _raw,
    "raw_tp.w": _raw,
    "raw_tracepoint.w": _raw,
    "tp": _tracepoint,
    "tracepoint": _tracepoint,
    "uprobe": _uprobe,
    "uretprobe": _uprobe,
}


def attach(program: Program, *, cookie: int = 0) -> Link:
    """Attach a program to what its SEC() name says.

    Raises:
        AttachError: the name says nothing, or the kernel refused.
    """
    head = program.spec.section.partition("/")[0]
    head = head.removesuffix(".s")
    function = ATTACH.get(head)
    if function is None:
        raise AttachError(program.name, f"SEC({program.spec.section!r})", "this kind cannot be attached by its name")
    return function(program, cookie)
