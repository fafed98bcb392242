# SPDX-License-Identifier: MIT
"""Calls of functions of cryptographic libraries, and TLS handshakes.

Two programs are attached to every copy of a library that runs, or lies in a usual place: one to all functions of
the catalog that it has, one to the returns of some. The cookie of each place says which file it is, and which row of
the catalog. Kernels without cookies (before 5.15) find that by the code at the place instead.

A uprobe belongs to a file, not to a process: all that map it later are seen from their first call. Files that appear
later are attached when the first process maps them. What a process does with a library between mapping it and that
moment, some 10 ms, is not seen.

Executables of Go are never attached to: its stacks move, and the return of a function is caught on the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pybpfload
from tracer.catalog.functions import FUNCTIONS, JUMPS, ROW_NUMBERS, Function, argument
from tracer.model import complete
from tracer.probes import accessors, places
from tracer.probes.attacher import Attacher, Catalog
from tracer.probes.base import Probe
from tracer.proc.callers import Callers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pybpfload import Map, SymbolFile
    from tracer.model import Event
    from tracer.probes.base import Context

# struct ct_row: its enums, and the members that say which argument it is.
ENUMS = {"action": ("ct_action", "CT_DO_"), "text_as": ("ct_text_as", "CT_TEXT_"),
         "number_as": ("ct_number_as", "CT_NUMBER_")}  # fmt: skip
TEXTS = ("certificate", "cipher_list", "ciphersuites", "text")
NUMBERS = ("fd", "role", "number", "at_long")
POINTERS = ("object", "from", "made")
AGAIN = 4

ROLES = {0: None, 1: "client", 2: "server"}

OUTCOMES = {0: False, 1: True}

# Returns first: a call that is seen to begin is also seen to end.
PROGRAMS = (
    ("on_return", True, lambda row: FUNCTIONS[row].returns),
    ("on_entry", False, lambda row: True),  # noqa: ARG005  as the other
)


def row_values(row: Function, enums: dict[str, dict[str, int]]) -> dict[str, Any]:
    """A row as the kernel's table has it: `struct ct_row`."""
    meanings = {meaning: position for position, meaning in enumerate(row.arguments, 1) if meaning != "-"}
    text = next((m for m in TEXTS if m in meanings), "")
    number = next((m for m in NUMBERS if m in meanings), "")
    again = [*row.again, *[row.done] * AGAIN][:AGAIN]
    return {
        **{pointer: meanings.get(pointer, 0) for pointer in POINTERS},
        "action": enums["action"][row.action],
        "text": meanings.get(text, 0),
        "text_as": enums["text_as"][text or "text"],
        "number": meanings.get(number, 0),
        "number_as": enums["number_as"][number or "number"],
        "role": row.role,
        "reported": row.reported,
        "vague": row.vague,
        "done": row.done,
        "again": again,
        "returns": row.returns,
        "pad": [0] * 3,
        "jumps": (row.family, row.symbol) in JUMPS,
        "outer": ROW_NUMBERS[row.family, row.outer] + 1 if row.outer else 0,
    }


def describe(context: Context, library: int, file: SymbolFile, rows: dict[int, int]) -> None:
    """Tell the kernel where the library has the state of its sessions."""
    # A map of zeros would say that everything is at the beginning.
    has_sessions = any(FUNCTIONS[row].action == "shake" for row in rows.values())
    context.obj.maps["layouts"][library] = accessors.layout(file) if has_sessions else accessors.NOTHING


class State(NamedTuple):
    """What the probe remembers."""

    attacher: Attacher
    callers: Callers


def fill(maps: Mapping[str, Map], enums: dict[str, dict[str, int]]) -> None:
    """Put the catalog into the kernel's table."""
    maps["functions"].update((number, row_values(row, enums)) for number, row in enumerate(FUNCTIONS))


def attach(context: Context) -> None:
    """Attach to all copies of libraries that there are."""
    obj = context.obj
    btf = obj.spec.btf
    assert btf is not None
    enums = {
        member: {name.removeprefix(prefix).lower(): value for name, value in btf.enum_values(enum).items()}
        for member, (enum, prefix) in ENUMS.items()
    }
    fill(obj.maps, enums)
    for name in ("on_sys_exit", "on_sched_process_fork", "on_sched_process_exit"):
        context.links.append(pybpfload.attach(obj.programs[name]))
    neighbours = places.counted if context.settings.deep else None
    attacher = Attacher(context, Catalog("openssl_api", places.told, describe, PROGRAMS, neighbours))
    context.state = State(attacher, Callers())
    attacher.attach_all()


def address_text(family: int, raw: bytes) -> str | None:
    """An address as text; one of IPv4 that came through an IPv6 socket is shown as what it is."""
    import socket  # only who sees handshakes needs it

    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    if family != socket.AF_INET6:
        return None
    if raw[:12] == bytes(10) + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw)


def on_event(context: Context, event: Event) -> None:
    """Attach to what is new; give the probe's own events the values that only it knows."""
    attacher, callers = context.state
    fields, kind = event.fields, event.kind.name
    if kind not in {"api_call", "tls_handshake"}:
        callers.notice(event)
        if not context.detached:
            attacher.notice(fields)
        return
    row = FUNCTIONS[fields["function"]] if fields["function"] < len(FUNCTIONS) else None
    fields["function_name"] = row.symbol if row else None
    fields["library"] = attacher.path(fields["library"])
    if kind == "tls_handshake":
        fields["source"], fields["evidence"] = "library", "initialised"
        complete(kind, fields)
        fields["success"] = OUTCOMES.get(fields["outcome"])
        fields["role"] = ROLES.get(fields["role"])
        known = fields["family"] != 0
        fields["peer_address"] = address_text(fields["family"], bytes(fields["peer"]))
        for port in ("peer_port", "local_port"):
            fields[port] = fields[port] if known else None
        return
    if row:
        fields["text"] = argument(row, fields["number"], fields["text"]) or ""
    fields["caller"] = callers.find(fields["pid"], fields["start_time"], fields["caller"])


OPENSSL_API = Probe(
    "openssl_api",
    attach=attach,
    wants=("process_exec", "lib_load", "api_call", "tls_handshake"),
    on_event=on_event,
    several=("api_call", "tls_handshake"),
    needs=("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"),
)
