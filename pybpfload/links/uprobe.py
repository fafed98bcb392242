"""Uprobes: functions of a file, whichever process runs over them."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NamedTuple

from pybpfload._sys import bpf, perf, tracefs
from pybpfload._sys import links as sys_links
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError, BpfError, ObjectError, UnsupportedError, printable
from pybpfload.links import paths
from pybpfload.links.base import Link, Undo, run_all
from pybpfload.links.event import attach_events, wants
from pybpfload.links.ladder import attach_type_of
from pybpfload.progs import Program
from pybpfload.symbols import SymbolFile, file_offset_of
from pybpfload.uapi import AttachType

__all__ = ["Places", "attach_places", "attach_uprobe", "attach_uprobe_multi"]

RETURN = 1  # BPF_F_UPROBE_MULTI_RETURN
MULTI = (AttachType.TRACE_UPROBE_MULTI, AttachType.TRACE_UPROBE_SESSION)
PATTERN = set("*?[")
ENOTSUPP = 524  # of the kernel alone


class Places(NamedTuple):
    """Bytes of a file.

    Attributes:
        path: of the file, to be opened as it is.
        semaphores, cookies: one for each offset, or none.
    """

    path: str
    offsets: Sequence[int]
    semaphores: Sequence[int] = ()
    cookies: Sequence[int] = ()


def attach_uprobe(
    program: Program,
    path: str = "",
    symbol: str = "",
    *,
    offset: int = 0,
    ret: bool | None = None,
    pid: int = -1,
    cookie: int = 0,
    semaphore: int = 0,
    kind: str | None = None,
) -> Link:
    """A function of a file.

    Args:
        path: of the executable or library; a name alone is looked for. "" takes both from SEC(uprobe/PATH:FUNCTION).
        symbol: the function, with ``@VERSION`` if need be; "" takes `offset` alone, as an offset in the file.
        offset: in bytes from the function's first.
        ret: at its return instead of its entry; None takes it from SEC(uretprobe...).
        pid: one process, whose mount namespace `path` then means (0: this process), or -1 for all.
        cookie: 64 bits that bpf_get_attach_cookie() gives to the program (5.15).
        semaphore: offset in the file of a counter that the kernel raises meanwhile.
        kind: ``uprobe_multi``, ``perf_link``, ``perf_ioctl`` or ``tracefs`` to take that way only.

    Raises:
        AttachError: the file or function is not there, or the kernel refused.

    Kernel: 4.17, 33ea4b24277b; by tracefs 4.3; by uprobe_multi 6.6, 89ae89f53d20.
    """
    if not path:
        path, symbol, offset = _from_section(program, offset)
    ret = _is_return(program) if ret is None else ret
    target = f"{'uretprobe' if ret else 'uprobe'} {path}:{symbol or hex(offset)}"
    try:
        real = paths.resolve(path, pid)
        start = file_offset_of(real, symbol, debug_root=paths.debug_root(pid)) if symbol else 0
    except (BpfError, OSError) as cause:
        raise AttachError(program.name, target, cause) from cause
    places = Places(real, [start + offset], [semaphore] if semaphore else [], [cookie] if cookie else [])
    return attach_places(program, places, target, ret=ret, pid=pid, kind=kind)


def _from_section(program: Program, offset: int) -> tuple[str, str, int]:
    path, colon, symbol = program.spec.target.rpartition(":")
    name, _, plus = symbol.partition("+")
    if not colon or not name:
        raise AttachError(program.name, f"SEC({program.spec.section!r})", "expected SEC(uprobe/PATH:FUNCTION)")
    return path, name, int(plus, 0) if plus else offset


def _is_return(program: Program) -> bool:
    return program.spec.section.startswith("uret")


def attach_uprobe_multi(
    program: Program,
    path: str = "",
    symbols: str | Sequence[str] = (),
    *,
    offsets: Sequence[int] = (),
    semaphores: Sequence[int] = (),
    cookies: Sequence[int] = (),
    ret: bool | None = None,
    pid: int = -1,
    kind: str | None = None,
) -> Link:
    """Many functions of a file by one link; by a perf event each where the kernel has no such links.

    Args:
        path: as for attach_uprobe(); "" takes both from SEC(uprobe.multi/PATH:PATTERN).
        symbols: functions, or a shell pattern: ``SSL_*``.
        offsets: in the file, instead of `symbols`.
        semaphores, cookies: one for each function.
        ret: at their returns; None takes it from SEC(uretprobe.multi...).
        pid, kind: as for attach_uprobe().

    Raises:
        AttachError: one of the functions is not there, or the kernel refused.

    Kernel: 6.6, 89ae89f53d20.
    """
    if not path:
        path, _, symbols = program.spec.target.rpartition(":")
    ret = _is_return(program) if ret is None else ret
    shown = symbols if isinstance(symbols, str) else ", ".join(symbols[:5])
    target = f"{program.spec.section.partition('/')[0]} {path}:{shown or f'{len(offsets)} offsets'}"
    try:
        real = paths.resolve(path, pid)
        if not offsets:
            offsets = _offsets(real, symbols, paths.debug_root(pid))
    except (BpfError, OSError) as cause:
        raise AttachError(program.name, target, cause) from cause
    for what, values in (("cookies", cookies), ("semaphores", semaphores)):
        if values and len(values) != len(offsets):
            raise AttachError(program.name, target, f"{len(values)} {what} for {len(offsets)} functions")
    return attach_places(program, Places(real, offsets, semaphores, cookies), target, ret=ret, pid=pid, kind=kind)


def _offsets(path: str, symbols: str | Sequence[str], root: str) -> list[int]:
    with SymbolFile(path, debug_root=root) as file:
        if not isinstance(symbols, str):
            return file.offsets(symbols)
        if not PATTERN & set(symbols):
            return file.offsets([symbols])
        found = file.matching(symbols)
        if not found:
            raise ObjectError(f"{path}: no function like `{printable(symbols)}`")
        return [offset for _, offset in found]


def attach_places(
    program: Program, places: Places, target: str, *, ret: bool, pid: int, kind: str | None = None
) -> Link:
    """The ladder: one link for all; a perf event each; a probe in tracefs each."""
    if not places.offsets:
        raise AttachError(program.name, target, "no place to attach to")
    attach_type = attach_type_of(program)
    if attach_type in MULTI:
        if not wants(kind, "uprobe_multi"):
            raise AttachError(
                program.name,
                target,
                f"loaded for uprobe_multi, it cannot be attached by {kind}: set `multi` of its spec to False",
            )
        return _by_link(program, places, target, attach_type, ret, pid)
    if kind == "uprobe_multi":
        raise AttachError(program.name, target, "the program was not loaded for uprobe_multi")
    return _by_events(program, places, target, ret, pid, kind)


@uninterrupted
def _by_link(program: Program, places: Places, target: str, attach_type: int, ret: bool, pid: int) -> Link:
    result = sys_links.create_uprobe_multi(
        program.fileno(),
        os.fsencode(places.path),
        places.offsets,
        semaphores=places.semaphores,
        cookies=places.cookies,
        flags=RETURN if ret and attach_type == AttachType.TRACE_UPROBE_MULTI else 0,
        pid=os.getpid() if pid == 0 else max(pid, 0),
        attach_type=attach_type,
    )
    if result < 0:
        cause = bpf.error_of(-result, "BPF_LINK_CREATE uprobe_multi", _why(result, pid))
        raise AttachError(program.name, target, cause) from cause
    return Link(program.name, "uprobe_multi", target, [Fd(result, f"link of {program.name}")])


def _why(result: int, pid: int) -> str:
    if result == -errno.ESRCH and pid > 0:
        return f"there is no process {pid}"
    return "a place is no instruction that can be probed" if result in (-errno.EINVAL, -ENOTSUPP) else ""


def _by_events(program: Program, places: Places, target: str, ret: bool, pid: int, kind: str | None) -> Link:
    events: list[Fd] = []
    names: list[str] = []
    step = "tracefs" if kind == "tracefs" else "perf"
    semaphores = places.semaphores or [0] * len(places.offsets)

    def undo() -> list[Undo]:
        return [lambda name=name: tracefs.remove_probe("uprobe", name) for name in names]  # type: ignore[misc]

    try:
        for offset, semaphore in zip(places.offsets, semaphores):
            if step == "perf":
                try:
                    path = os.fsencode(places.path)
                    events.append(perf.open_uprobe(path, offset, ret=ret, pid=pid, semaphore=semaphore))
                    continue
                except UnsupportedError:
                    if events or kind is not None:
                        raise
                    step = "tracefs"
            counter = f"({semaphore:#x})" if semaphore else ""
            # A blank would end the path.
            if any(c.isspace() for c in places.path):
                raise UnsupportedError("uprobes through tracefs on a path with blanks")
            names.append(tracefs.add_probe("uprobe", f"{places.path}:{offset:#x}{counter}", ret=ret))
            number = tracefs.tracepoint_id(tracefs.GROUP, names[-1])
            events.append(perf.open_trace_event(number, target, pid))
    except BaseException as cause:
        run_all([*[event.close for event in events], *undo()])
        if isinstance(cause, (BpfError, OSError)):
            raise AttachError(program.name, target, cause) from cause
        raise
    if step == "tracefs":
        return attach_events(program, events, target, places.cookies, shown="tracefs", undo=undo())
    return attach_events(program, events, target, places.cookies, kind=kind)
