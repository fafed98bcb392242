# SPDX-License-Identifier: MIT
"""How often functions are called that begin to use an algorithm, and by whom: with `--deep` only.

No call is an event: the kernel counts in a table, by process, function, algorithm and caller, and what it has counted
comes when the process ends, every few seconds while it goes on, and at the end of the trace. A process has room for
MAX_COUNTS such combinations (bpf/include/count.bpf.h); what is more counts as calls of no function in particular. What
there is no room for at all is lost, and told as that.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pybpfload
from pybpfload.errors import BpfError
from tracer.catalog.counted import COUNTED, JUMPS, NUMBERS, Counted, algorithm
from tracer.catalog.libraries import RUNTIME, find_library
from tracer.probes import accessors, places
from tracer.probes.attacher import Attacher, Catalog
from tracer.probes.base import Probe
from tracer.proc.callers import Callers

if TYPE_CHECKING:
    from pybpfload import SymbolFile
    from tracer.model import Event
    from tracer.probes.base import Context
    from tracer.settings import Settings

PROGRAMS = (("on_call", False, lambda row: True),)  # noqa: ARG005  all of them

APPLICATION, LIBRARY = "application", "library"


class State(NamedTuple):
    """What the probe remembers."""

    attacher: Attacher
    callers: Callers


def row_values(row: Counted, ways: dict[str, int]) -> dict[str, int]:
    """A row as the kernel's table has it: `struct ct_counted_row`."""
    return {
        "as": ways[row.as_],
        "argument": row.argument,
        "context": row.context,
        "outer": NUMBERS[row.outer] + 1 if row.outer else 0,
        "jumps": row.symbol in JUMPS,
    }


def describe(context: Context, library: int, file: SymbolFile, rows: dict[int, int]) -> None:
    """Tell the kernel where the library has the names of algorithms."""
    openssl = any(COUNTED[row].as_ in {"cipher", "digest", "key_context"} for row in rows.values())
    context.obj.maps["names"][library] = accessors.names(file) if openssl else accessors.NO_NAMES


def attach(context: Context) -> None:
    """Attach to all copies of libraries that there are."""
    obj = context.obj
    btf = obj.spec.btf
    assert btf is not None
    prefix = len("CT_AS_")
    ways = {name[prefix:].lower(): value for name, value in btf.enum_values("ct_algorithm_as").items()}
    for number, row in enumerate(COUNTED):
        obj.maps["counted_functions"][number] = row_values(row, ways)
    for name in ("on_sched_process_exec", "on_sched_process_exit"):
        context.links.append(pybpfload.attach(obj.programs[name]))
    attacher = Attacher(context, Catalog("api_count", places.counted, describe, PROGRAMS, places.told, ask))
    context.state = State(attacher, Callers())
    attacher.attach_all()


def ask(context: Context) -> None:
    """Let the kernel send what it has counted for processes that go on."""
    program = context.obj.programs["on_ask"]
    try:
        for process in list(context.obj.maps["counted"]):
            program.run(ctx=b"".join(process[name].to_bytes(8, sys.byteorder) for name in ("pid", "start_time")))
    except BpfError as error:
        log = context.log.warning
        log(f"probe api_count: the counts of processes that still run are lost: {error}")


def on_event(context: Context, event: Event) -> None:
    """Attach to what is new; give the probe's own events the values that only it knows."""
    attacher, callers = context.state
    fields, kind = event.fields, event.kind
    if kind.name != "api_count":
        callers.notice(event)
        if not context.detached and not kind.child:
            attacher.notice(fields)
        return
    row = COUNTED[fields["function"]] if fields["function"] < len(COUNTED) else None
    fields["function_name"] = row.symbol if row else None
    fields["library"] = attacher.path(fields["library"])
    fields["algorithm"] = algorithm(row, fields["number"], fields["name"]) if row else None
    fields["caller"], fields["origin"] = origin(callers, fields) if row else (None, None)


def origin(callers: Callers, fields: dict[str, Any]) -> tuple[str | None, str | None]:
    """The file that the calls came from, and whether that is a part of the application."""
    if fields["internal"]:
        return fields["library"], LIBRARY
    pid, start_ns = fields["pid"], fields["start_time"]
    path = callers.find(pid, start_ns, fields["caller"])
    if path is None:
        return None, APPLICATION if callers.knows_libraries(pid, start_ns) else None
    library = find_library(path)
    return path, LIBRARY if library and library.role != RUNTIME else APPLICATION


def wanted(settings: Settings) -> bool:
    """Only if the user asks for it: each call costs a little."""
    return settings.deep


API_COUNT = Probe(
    "api_count",
    attach=attach,
    wants=("process_exec", "process_fork", "lib_load", "api_count"),
    on_event=on_event,
    wanted=wanted,
    needs=("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"),
)
