# SPDX-License-Identifier: MIT
"""The views: one row for each, one row for each of their columns.

A column has a value to sort by and a text to show, which comes from outside and is not clean yet. Which columns a
screen has room for is decided in columns.py: those with the highest `rank` go first.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from tracer.live.badges import GRADES, Badge, badge
from tracer.live.state import PIDS, Losses, peer_of
from tracer.model import COMMON, PLACE
from tracer.sinks.values import event_values
from tracer.texts import command_line, errno_name, signal_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.live.state import Entry, FileRow, HandshakeRow, LibraryRow, Model, ProcessRow, Row
    from tracer.model import Event

Pairs = list[tuple[str, Any]]


def _start(_row: object) -> str:
    return "start"


def _end(_row: object) -> str:
    return "end"


class Column(NamedTuple):
    """One column.

    Attributes:
        title: its head.
        width: cells that it has at least.
        text: what a row shows in it.
        value: what to sort by; the text if there is none.
        share: of the room that is left, how much of it; 0 for a column that stays as it is.
        rank: 0 for those that are always there; of the others, the highest go first.
        align: ``left`` or ``right``.
        keep: which part of a long text of a row stays: ``start`` or ``end``.
        badge: the letter before the text, or None.
        style: of the text of a row, or None.
        down: whether it is sorted from the highest down at first.
    """

    title: str
    width: int
    text: Callable[[Any], str]
    value: Callable[[Any], Any] | None = None
    share: int = 0
    rank: int = 0
    align: str = "left"
    keep: Callable[[Any], str] = _start
    badge: Callable[[Any], Badge] | None = None
    style: Callable[[Any], str] | None = None
    down: bool = False


class View(NamedTuple):
    """One view.

    Attributes:
        rows: what it shows, of a model.
        columns: from left to right.
        detail: all that is known of a row.
        sort: number of the column that it is sorted by at first; -1: as the rows come.
        empty: what stands there when there are no rows.
    """

    rows: Callable[[Model], Sequence[Any]]
    columns: tuple[Column, ...]
    detail: Callable[[Any], Pairs]
    sort: int
    empty: str


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def clock(wall_ns: int) -> str:
    """Local time of the day, to a millisecond."""
    return f"{_second(wall_ns // 1_000_000_000)}.{wall_ns // 1_000_000 % 1000:03d}"


def _last(row: Row) -> str:
    return _second(row.last_ns // 1_000_000_000)


def _nothing(_row: object) -> str:
    return ""


def _many(pids: set[int]) -> str:
    return f"{len(pids)}+" if len(pids) >= PIDS else str(len(pids))


def _error(fields: dict[str, Any]) -> str:
    return errno_name(fields["result"]) or ""


# Events.

_OF_ALL = frozenset(column.name for column in (*COMMON, *PLACE))


def what(event: Event) -> str:
    """What an event is about, in one line."""
    kind, fields = event.kind, event.fields
    if kind.file or kind.library:
        return str(fields.get("file_path") or fields["path"])
    if kind.image:
        return command_line(fields["argv"])
    if kind.name == "api_call":
        return " ".join(str(part) for part in (fields.get("function_name"), fields.get("text")) if part)
    if kind.name.endswith("_handshake"):
        ssh = kind.name == "ssh_handshake"
        parts = (
            peer_of(fields),
            fields.get("version"),
            fields.get("kex" if ssh else "group"),
            fields.get("cipher_client" if ssh else "suite"),
            fields.get("grade"),
        )
        return " ".join(str(part) for part in parts if part)
    own = [column for column in kind.columns if column.name not in _OF_ALL]
    if kind.ends or not own:
        return str(fields.get("exe") or "")
    shown = event_values(event)
    return " ".join(f"{column.name}={shown[column.name]}" for column in own if shown[column.name] not in (None, ""))


def _keep_of(entry: Entry) -> str:
    kind = entry.event.kind
    return "end" if kind.file or kind.library else "start"


def outcome(event: Event) -> str:
    """How it ended; nothing if as usual."""
    kind, fields = event.kind, event.fields
    if kind.file:
        return _error(fields)
    if kind.ends:
        return signal_name(fields["signal"]) or (f"exit {fields['exit_code']}" if fields["exit_code"] else "")
    if kind.name == "lib_open":
        return "failed" if fields["failed"] else ""
    return "failed" if fields.get("success") is False else ""


def _event_badge(event: Event) -> Badge:
    return badge(event.fields.get("grade") or event.fields.get("file_type"))


def _bad(text: str) -> str:
    return "bold red" if text else ""


def _time(entry: Entry) -> int:
    wall_ns: int = entry.event.fields["wall_ns"]
    return wall_ns


def _event_rows(model: Model) -> Sequence[Entry]:
    return model.events


EVENT_COLUMNS = (
    Column("TIME", 12, lambda e: clock(_time(e)), _time, down=True, rank=1),
    Column("PID", 7, lambda e: str(e.event.fields["pid"]), lambda e: e.event.fields["pid"], align="right", rank=3),
    Column("PROCESS", 15, lambda e: e.event.fields["comm"]),
    Column("USER", 6, lambda e: str(e.event.fields["uid"]), lambda e: e.event.fields["uid"], align="right", rank=5),
    Column("EVENT", 13, lambda e: e.event.kind.name, rank=2),
    Column("T", 1, _nothing, lambda e: _event_badge(e.event).letter, badge=lambda e: _event_badge(e.event)),
    Column("WHAT", 12, lambda e: what(e.event), share=1, keep=_keep_of),
    Column(
        "RESULT", 8, lambda e: outcome(e.event), style=lambda e: _bad(outcome(e.event)), rank=1,
    ),
)  # fmt: skip

# Processes.


def _process_detail(row: ProcessRow) -> Pairs:
    fields = row.event.fields
    return [
        ("pid", fields["pid"]),
        ("process", fields["comm"]),
        ("exe", fields.get("exe")),
        ("uid", fields["uid"]),
        ("container", fields.get("container")),
        ("ended", row.ended),
        ("events", row.count),
        ("files opened", row.files),
        ("of these, failed", row.failed),
        ("libraries loaded", row.libraries),
        ("calls", row.calls),
        ("handshakes", row.handshakes),
        ("worst grade", row.grade),
        ("", ""),
        *last_event(row.event),
    ]


def last_event(event: Event) -> Pairs:
    """The values of an event, under a head."""
    return [("last event", ""), *event_detail(event)]


def event_detail(event: Event) -> Pairs:
    """The values of an event."""
    return list(event_values(event).items())


def _grade_order(grade: str | None) -> int:
    return list(GRADES).index(grade) if grade in GRADES else len(GRADES)


PROCESS_COLUMNS = (
    Column("PID", 7, lambda r: str(r.key[0]), lambda r: r.key[0], align="right"),
    Column("PROCESS", 15, lambda r: r.event.fields["comm"]),
    Column("USER", 6, lambda r: str(r.event.fields["uid"]), lambda r: r.event.fields["uid"], align="right", rank=6),
    Column("EVENTS", 8, lambda r: str(r.count), lambda r: r.count, align="right", down=True),
    Column("FILES", 7, lambda r: str(r.files), lambda r: r.files, align="right", down=True, rank=1),
    Column(
        "FAILED", 7, lambda r: str(r.failed or ""), lambda r: r.failed, align="right", down=True, rank=2,
        style=lambda r: _bad(r.failed),
    ),
    Column("LIBS", 5, lambda r: str(r.libraries or ""), lambda r: r.libraries, align="right", down=True, rank=4),
    Column("CALLS", 6, lambda r: str(r.calls or ""), lambda r: r.calls, align="right", down=True, rank=5),
    Column("SHAKES", 7, lambda r: str(r.handshakes or ""), lambda r: r.handshakes, align="right", down=True, rank=3),
    Column("G", 1, _nothing, lambda r: _grade_order(r.grade), badge=lambda r: badge(r.grade)),
    Column("LAST", 8, _last, lambda r: r.last_ns, down=True, rank=7),
    Column("S", 1, lambda r: "E" if r.ended else "R", rank=4),
    Column("EXE", 8, lambda r: r.event.fields.get("exe") or "?", share=1, rank=1, keep=_end),
)  # fmt: skip

# Files.


def _file_detail(row: FileRow) -> Pairs:
    return [
        ("file", row.key),
        ("type", row.type),
        ("opened", row.count),
        ("of these, failed", row.failed),
        ("processes", ", ".join(map(str, sorted(row.pids)))),
        ("", ""),
        *last_event(row.event),
    ]


FILE_COLUMNS = (
    Column("T", 1, _nothing, lambda r: r.type, badge=lambda r: badge(r.type)),
    Column("TYPE", 15, lambda r: r.type, rank=2),
    Column("OPENS", 8, lambda r: str(r.count), lambda r: r.count, align="right", down=True),
    Column(
        "FAILED", 7, lambda r: str(r.failed or ""), lambda r: r.failed, align="right", down=True,
        style=lambda r: _bad(r.failed),
    ),
    Column("PROCS", 6, lambda r: _many(r.pids), lambda r: len(r.pids), align="right", down=True, rank=3),
    Column("LAST BY", 15, lambda r: r.event.fields["comm"], rank=1),
    Column("LAST", 8, _last, lambda r: r.last_ns, down=True, rank=4),
    Column("FILE", 16, lambda r: r.key, share=1, keep=_end),
)  # fmt: skip

# Libraries.


def _library_detail(row: LibraryRow) -> Pairs:
    return [("processes", ", ".join(map(str, sorted(row.pids)))), ("", ""), *last_event(row.event)]


LIBRARY_COLUMNS = (
    Column("LIBRARY", 14, lambda r: r.event.fields.get("library_name") or ""),
    Column("VERSION", 10, lambda r: r.event.fields.get("version") or "?"),
    Column("FAMILY", 12, lambda r: r.event.fields.get("family") or "", rank=2),
    Column("PROCS", 6, lambda r: _many(r.pids), lambda r: len(r.pids), align="right", down=True),
    Column("LOADS", 6, lambda r: str(r.count), lambda r: r.count, align="right", down=True, rank=3),
    Column("LAST BY", 15, lambda r: r.event.fields["comm"], rank=4),
    Column("LAST", 8, _last, lambda r: r.last_ns, down=True, rank=5),
    Column(
        "FILE", 12, lambda r: f"{r.key[0]}{' (deleted)' if r.event.fields.get('deleted') else ''}", share=1, keep=_end,
        style=lambda r: _bad("deleted" if r.event.fields.get("deleted") else ""),
    ),
)  # fmt: skip

# Handshakes: the key of a row is what `state.handshake_key` gives.
_PROTOCOL, _COMM, _PEER, _ROLE, _VERSION, _SUITE, _GROUP, _GRADE = range(8)


def _key(number: int) -> Callable[[HandshakeRow], str]:
    return lambda row: row.key[number] or "?"


def _version(row: HandshakeRow) -> str:
    return str(row.key[_VERSION] or row.key[_PROTOCOL].upper())


def _handshake_detail(row: HandshakeRow) -> Pairs:
    pids = ", ".join(map(str, sorted(row.pids)))
    return [("handshakes", row.count), ("processes", pids), ("", ""), *last_event(row.event)]


HANDSHAKE_COLUMNS = (
    Column("G", 1, _nothing, lambda r: _grade_order(r.key[_GRADE]), badge=lambda r: badge(r.key[_GRADE])),
    Column("GRADE", 18, lambda r: r.key[_GRADE] or "", lambda r: _grade_order(r.key[_GRADE]), rank=3),
    Column("COUNT", 7, lambda r: str(r.count), lambda r: r.count, align="right", down=True, rank=1),
    Column("PROCS", 6, lambda r: _many(r.pids), lambda r: len(r.pids), align="right", down=True, rank=6),
    Column("PROCESS", 11, _key(_COMM)),
    Column("ROLE", 6, _key(_ROLE), rank=5),
    Column("PEER", 14, _key(_PEER), share=3, rank=1),
    Column("VERSION", 8, _version),
    Column("SUITE", 14, _key(_SUITE), share=3, rank=2, keep=_end),
    Column("GROUP", 14, _key(_GROUP), share=1),
    Column("LAST", 8, _last, lambda r: r.last_ns, down=True, rank=7),
)

# Losses and probes.


def _losses_rows(model: Model) -> Sequence[Losses]:
    told = [Losses("message", str(number), "", text) for number, text in enumerate(model.messages)]
    return [*model.losses, *told]


def _number(count: int) -> str:
    return str(count) if count else ""


LOSSES_COLUMNS = (
    Column("WHAT", 8, lambda r: r.what),
    Column("NAME", 15, lambda r: "" if r.what == "message" else r.key[1]),
    Column("STATE", 5, lambda r: r.state, style=lambda r: _bad(r.state if r.state.isupper() else "")),
    Column("EVENTS", 9, lambda r: _number(r.count), lambda r: r.count, align="right", down=True, rank=1),
    Column("LOST", 7, lambda r: _number(r.full), lambda r: r.full, align="right", down=True,
           style=lambda r: _bad(r.full)),
    Column("UNREAD", 7, lambda r: _number(r.unread), lambda r: r.unread, align="right", down=True, rank=2),
    Column("DETAIL", 10, lambda r: r.detail, share=1),
)  # fmt: skip


def _losses_detail(row: Losses) -> Pairs:
    pairs = [("what", row.what), ("name", row.key[1]), ("state", row.state), ("events", row.count), ("lost", row.full)]
    return [*pairs, ("names not readable", row.unread), ("detail", row.detail)]


# In the order of their names in `tracer.options.VIEWS`, which is that of their keys.
VIEWS = (
    View(_event_rows, EVENT_COLUMNS, lambda e: event_detail(e.event), -1, "no event yet"),
    View(lambda m: list(m.processes.values()), PROCESS_COLUMNS, _process_detail, 3, "no process has done anything yet"),
    View(lambda m: list(m.files.values()), FILE_COLUMNS, _file_detail, 2, "no crypto file has been opened yet"),
    View(lambda m: list(m.libraries.values()), LIBRARY_COLUMNS, _library_detail, 3, "no crypto library is loaded"),
    View(lambda m: list(m.handshakes.values()), HANDSHAKE_COLUMNS, _handshake_detail, 2, "no handshake yet"),
    View(
        _losses_rows,
        LOSSES_COLUMNS,
        _losses_detail,
        -1,
        "no probe runs here: a recording has events, not what was lost of them",
    ),
)


def search_text(view: View, row: Any) -> str:
    """What the filter looks at, in lower case: the texts of a row that stay as they are, and some of its event."""
    if not row.search:
        parts = [column.text(row) for column in view.columns if not column.down]
        event = getattr(row, "event", None)
        if event is not None:
            parts += [str(event.fields.get(name) or "") for name in ("file_type", "exe", "sni", "container")]
        row.search = " ".join(parts).lower()
    text: str = row.search
    return text
