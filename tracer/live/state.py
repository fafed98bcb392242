# SPDX-License-Identifier: MIT
"""What the live table knows: the last events, and rows that sum them up. Everything in it is bounded.

An event costs a few microseconds here, at any rate: texts are made when a row is drawn, not when it changes.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tracer.live.badges import POST_QUANTUM, worse

if TYPE_CHECKING:
    from tracer.accounting import Stats
    from tracer.loaded import ProbeState
    from tracer.model import Event, Fields

# How many events and rows are kept, how many processes a row names, how many seconds the sparkline has, and messages.
EVENTS, ROWS, PIDS, SECONDS, MESSAGES = 2_000, 4_096, 64, 600, 100

# Connections whose handshakes are remembered, so that two events of one are counted once, and for how long.
CONNECTIONS, SAME_NS = 4_096, 60_000_000_000

SECOND_NS = 1_000_000_000
# Events are not quite in the order of their times: what is this much older belongs to the second that is counted.
BACK_S = 5


class Entry:
    """One event, with a number that nothing else has."""

    __slots__ = ("event", "key", "search")

    def __init__(self, number: int, event: Event) -> None:
        self.key = number
        self.event = event
        self.search = ""


class Counted(NamedTuple):
    """Where a handshake was counted, and whether its key exchange was post-quantum, if that is known."""

    row: Any
    process: Any
    safe: bool | None


class Connection(NamedTuple):
    """Who told of a connection, when, and where that was counted: once for each of its ends that said so."""

    wire: bool
    wall_ns: int
    counted: list[Counted]


class Row:
    """A row of a table that sums up.

    Attributes:
        key: what makes it this row.
        count: events of it.
        last_ns: time of the last one, since 1970.
        search: what the filter looks at, once it has been asked for.
        event: the last event of it.
    """

    __slots__ = ("count", "event", "key", "last_ns", "search")

    def __init__(self, key: Any, event: Event) -> None:
        self.key = key
        self.count = 0
        self.last_ns = 0
        self.search = ""
        self.event = event


class ProcessRow(Row):
    """What one process did.

    Attributes:
        loose: handshakes of which the library said no ports, and which have been counted.
        unmatched: handshakes on the wire which such ones may be about.
    """

    __slots__ = ("calls", "ended", "failed", "files", "grade", "handshakes", "libraries", "loose", "unmatched")

    def __init__(self, key: Any, event: Event) -> None:
        super().__init__(key, event)
        self.files = self.failed = self.libraries = self.calls = self.handshakes = self.unmatched = 0
        self.loose: list[Counted] = []
        self.grade: str | None = None
        self.ended = False


class FileRow(Row):
    """Opens of one file."""

    __slots__ = ("failed", "pids", "type")

    def __init__(self, key: Any, event: Event) -> None:
        super().__init__(key, event)
        self.type: str = event.fields["file_type"]
        self.failed = 0
        self.pids: set[int] = set()


class LibraryRow(Row):
    """One file of a library, and who has it."""

    __slots__ = ("pids",)

    def __init__(self, key: Any, event: Event) -> None:
        super().__init__(key, event)
        self.pids: set[int] = set()


class HandshakeRow(Row):
    """Handshakes that are alike, of all processes of one name."""

    __slots__ = ("pids",)

    def __init__(self, key: Any, event: Event) -> None:
        super().__init__(key, event)
        self.pids: set[int] = set()


class Losses:
    """One line of the view of losses: a probe, a counter, or a message."""

    __slots__ = ("count", "detail", "full", "key", "search", "state", "unread", "what")

    def __init__(self, what: str, name: str, state: str, detail: str, *counts: int) -> None:
        self.what = what
        self.key = (what, name)
        self.state = state
        self.detail = detail
        self.count, self.full, self.unread = (*counts, 0, 0, 0)[:3]
        self.search = ""


R = TypeVar("R", bound=Row)


class Rows(dict[Any, R]):
    """Rows by their keys, not more than `ROWS`: those go that have not changed for the longest time."""

    def __init__(self, make: Callable[[Any, Event], R]) -> None:
        super().__init__()
        self._make = make
        self.left_out = 0

    def row(self, key: Any, event: Event) -> R:
        """The row of the key, and one event more in it."""
        row = self.get(key)
        if row is None:
            if len(self) >= ROWS:
                self._make_room()
            row = self[key] = self._make(key, event)
        row.count += 1
        row.last_ns = event.fields["wall_ns"]
        row.event = event
        return row

    def _make_room(self) -> None:
        oldest = sorted(self.values(), key=lambda row: row.last_ns)[: ROWS // 4]
        for row in oldest:
            del self[row.key]
        self.left_out += len(oldest)


class Model:
    """All that the live table shows. `take` is called for each event; the rest reads."""

    def __init__(self) -> None:
        self.events: deque[Entry] = deque(maxlen=EVENTS)
        self.taken = 0
        self.processes = Rows(ProcessRow)
        self.files = Rows(FileRow)
        self.libraries = Rows(LibraryRow)
        self.handshakes = Rows(HandshakeRow)
        self.losses: list[Losses] = []
        self.messages: deque[str] = deque(maxlen=MESSAGES)
        self.lost = 0
        self.post_quantum = self.graded = 0
        self.rates: deque[int] = deque(maxlen=SECONDS)
        self.first_ns = self.last_ns = 0
        self._second = self._in_second = 0
        self._connections: dict[Any, Connection] = {}

    def take(self, event: Event) -> None:
        """One event more."""
        kind, fields = event.kind, event.fields
        name = kind.name
        if name == "lib_present":
            self._library(event)
            return
        self.taken += 1
        wall_ns = fields["wall_ns"]
        if not self.first_ns:
            self.first_ns = wall_ns
        self.last_ns = wall_ns
        if wall_ns // SECOND_NS != self._second:
            self.advance(wall_ns)
        self._in_second += 1
        self.events.appendleft(Entry(self.taken, event))
        process = self.processes.row((fields["pid"], fields["start_time"]), event)
        if name == "file_open":
            process.files += 1
            file = self.files.row(fields.get("file_path") or fields["path"], event)
            if fields["result"]:
                process.failed += 1
                file.failed += 1
            if len(file.pids) < PIDS:
                file.pids.add(fields["pid"])
        elif name == "lib_load":
            process.libraries += 1
            self._library(event)
        elif name == "api_call":
            process.calls += 1
        elif name in ("tls_handshake", "ssh_handshake"):
            self._handshake(event, process)
        elif kind.ends:
            process.ended = True
        elif kind.image:
            process.search = ""  # it has another name now

    def advance(self, wall_ns: int) -> None:
        """It is that time now: a second that is over has its rate."""
        second = wall_ns // SECOND_NS
        gone = second - self._second
        if gone < -BACK_S or not self._second:
            self._second = second  # the clock was set back, or this is the beginning
        elif gone > 0:
            self.rates.append(self._in_second)
            self.rates.extend([0] * min(gone - 1, SECONDS))
            self._in_second, self._second = 0, second

    @property
    def rate(self) -> int:
        """Events in the last whole second."""
        return self.rates[-1] if self.rates else self._in_second

    def _library(self, event: Event) -> None:
        fields = event.fields
        row = self.libraries.row((fields["path"], fields.get("build_id")), event)
        if len(row.pids) < PIDS:
            row.pids.add(fields["pid"])

    def _handshake(self, event: Event, process: ProcessRow) -> None:
        """Count a connection once: by what was on the wire if that was seen, else by what the library said."""
        fields = event.fields
        wall_ns = fields["wall_ns"]
        connection = connection_of(fields)
        wire = fields.get("source") == "wire" or event.kind.name == "ssh_handshake"
        if not wire and not connection and process.unmatched > 0:
            process.unmatched -= 1  # it is one that was seen on the wire, as far as anybody can tell
            return
        before = self._connections.get(connection) if connection else None
        if before and abs(wall_ns - before.wall_ns) >= SAME_NS:
            before = None  # another one, with the same ports
        if before and wire != before.wire:
            if not wire:
                process.unmatched = max(0, process.unmatched - 1)
                return
            self._forget(before.counted)
            before = None
        elif wire and process.loose:
            self._forget([process.loose.pop()])
        elif wire:
            process.unmatched += 1
        process.handshakes += 1
        process.grade = worse(process.grade, fields.get("grade"))
        row = self.handshakes.row(handshake_key(event), event)
        if len(row.pids) < PIDS:
            row.pids.add(fields["pid"])
        safe = None if fields.get("post_quantum") is None else fields["post_quantum"] in POST_QUANTUM
        self.graded += safe is not None
        self.post_quantum += bool(safe)
        counted = Counted(row.key, process.key, safe)
        if connection:
            if len(self._connections) >= CONNECTIONS:
                for old in list(self._connections)[: CONNECTIONS // 4]:
                    del self._connections[old]
            self._connections.pop(connection, None)
            both_ends = [*(before.counted[-1:] if before else ()), counted]
            self._connections[connection] = Connection(wire, wall_ns, both_ends)
        elif not wire and len(process.loose) < PIDS:
            process.loose.append(counted)

    def _forget(self, counted: Iterable[Counted]) -> None:
        """What the library said of a connection that was seen on the wire as well."""
        for each in counted:
            row = self.handshakes.get(each.row)
            if row is not None:
                row.count -= 1
                if not row.count:
                    del self.handshakes[each.row]
            process = self.processes.get(each.process)
            if process is not None:
                process.handshakes -= 1
            self.graded -= each.safe is not None
            self.post_quantum -= bool(each.safe)

    def tell(self, states: Iterable[ProbeState], stats: Stats) -> None:
        """What the kernel says of probes and losses."""
        self.lost = stats.missing
        rows = []
        for each in states:
            ways = ", ".join(f"{count} {way}" for way, count in each.ways.items())
            detail = ways if each.on else each.reason
            rows.append(Losses("probe", each.probe, "on" if each.on else "OFF", detail))
        for name, counts in stats.by_kind.items():
            state = "LOST" if counts.full else "ok"
            rows.append(Losses("event", name, state, "", counts.sent, counts.full, counts.unread))
        others = (
            ("undecodable", stats.undecodable, "records of a form that is not known"),
            ("skipped", stats.skipped, "calls of probes that the kernel left out"),
            ("not_followed", stats.not_followed, "new processes of the tree that there was no room for"),
        )
        rows += [Losses("loss", name, "LOST" if n else "ok", text, n, n) for name, n, text in others]
        self.losses = rows

    def copy(self) -> Model:
        """As it is now, for a table that stands still."""
        other = copy.copy(self)
        other.events = self.events.copy()
        other.losses = list(self.losses)
        other.messages = self.messages.copy()
        for name in ("processes", "files", "libraries", "handshakes"):
            rows = getattr(self, name)
            same = copy.copy(rows)
            same.update((key, copy.copy(row)) for key, row in rows.items())
            setattr(other, name, same)
        return other

    @property
    def left_out(self) -> int:
        """How many rows are not there any more, because there were too many."""
        tables = (self.processes, self.files, self.libraries, self.handshakes)
        return sum(rows.left_out for rows in tables)


def connection_of(fields: Fields) -> Any:
    """What the events of one connection have in common, from either of its ends; None if that is not known."""
    one, other = fields.get("local_port"), fields.get("peer_port")
    if not one or not other:
        return None
    return min(one, other), max(one, other), fields.get("peer_address")


def handshake_key(event: Event) -> tuple[Any, ...]:
    """What a row of handshakes is about."""
    fields = event.fields
    ssh = event.kind.name == "ssh_handshake"
    return (
        "ssh" if ssh else "tls",
        fields["comm"],
        peer_of(fields),
        fields.get("role"),
        fields.get("version"),
        fields.get("cipher_client" if ssh else "suite"),
        fields.get("kex" if ssh else "group"),
        fields.get("grade"),
    )


def peer_of(fields: Fields) -> str:
    """The other side: its name if the client said one, and its address; a server's clients without their ports."""
    address, port, role = fields.get("peer_address"), fields.get("peer_port"), fields.get("role")
    name = fields.get("sni") if role != "server" else None
    host = name or address or ""
    if not host or role == "server" or not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
