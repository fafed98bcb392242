# SPDX-License-Identifier: MIT
"""Handshakes that were seen on the wire, alike ones together: process, peer, suite, group, and how good that is.

What functions of libraries say of their handshakes is something else, and is never counted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tracer.catalog.grades import GRADES

if TYPE_CHECKING:
    from tracer.model import Event, Fields

# How many rows there are at most, and how many processes a row names: names may be made up without end.
MAX_ROWS, MAX_PIDS = 50_000, 1_000

Row = dict[str, Any]

_SAME = ("version", "post_quantum", "post_quantum_reason", "grade", "grade_reason", "evidence", "peer_process")


def from_wire(event: Event) -> bool:
    """Whether an event is a handshake that was seen on the wire."""
    name = event.kind.name
    return name == "ssh_handshake" or (name == "tls_handshake" and event.fields.get("source") == "wire")


class Connections:
    """Counts handshakes.

    Attributes:
        count: of all of them.
        lost: those that found no row any more.
    """

    def __init__(self) -> None:
        self.count = self.lost = 0
        self._rows: dict[tuple[Any, ...], Row] = {}

    def add(self, event: Event) -> None:
        """One more, if it was seen on the wire."""
        if not from_wire(event):
            return
        self.count += 1
        fields = event.fields
        own = _row(event.kind.name, fields)
        key = tuple(own.values())
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= MAX_ROWS:
                self.lost += 1
                return
            row = self._rows[key] = {**own, "count": 0, "pids": []}
        row["count"] += 1
        if fields["pid"] not in row["pids"] and len(row["pids"]) < MAX_PIDS:
            row["pids"].append(fields["pid"])

    def rows(self) -> list[Row]:
        """The worst grades first, and of these the most frequent ones."""
        return sorted(self._rows.values(), key=lambda row: (_rank(row["grade"]), -row["count"]))


def _row(kind: str, fields: Fields) -> Row:
    ssh = kind == "ssh_handshake"
    # The port of a client says nothing.
    port = fields["peer_port"] if fields["role"] == "client" else None
    return {
        "process": fields["comm"],
        "exe": fields["exe"],
        "container": fields["container"],
        "protocol": "SSH" if ssh else "TLS",
        "role": fields["role"] or None,
        "peer": (None if ssh or port is None else fields["sni"]) or fields["peer_address"],
        "peer_port": port,
        "suite": fields["cipher_client" if ssh else "suite"],
        "group": fields["kex" if ssh else "group"],
        **{name: fields[name] for name in _SAME},
    }


def _rank(grade: str | None) -> int:
    return len(GRADES) if grade is None else GRADES.index(grade)


def grade_counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many connections have each grade, the worst first; those without one are not counted."""
    found = dict.fromkeys(GRADES, 0)
    for row in rows:
        if row["grade"]:
            found[row["grade"]] += row["count"]
    return {grade: count for grade, count in found.items() if count}


def connection_text(row: Row) -> str:
    """A row in a line, without its count."""
    who = f"{row['process']} {'->' if row['role'] == 'client' else '<-'} {row['peer']}"
    if row["peer_port"]:
        who += f":{row['peer_port']}"
    what = " ".join(row[name] for name in ("version", "suite", "group") if row[name]) or "nothing was agreed on"
    return f"{row['grade'] or 'not graded'}: {who}  {what}  ({row['grade_reason'] or 'unknown'})"
