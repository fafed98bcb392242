# SPDX-License-Identifier: MIT
"""What processes did, summed up from their events: see `tracer.documents.PROFILE`.

It is a sink, and comes after redaction as all sinks do. What it asks /proc itself, it redacts itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tracer.clock import utc_text
from tracer.connections import Connections, connection_text
from tracer.documents import VERSION
from tracer.errors import TracerError
from tracer.pipeline.redact import redact_arguments, text_redactor
from tracer.proc import facts
from tracer.sinks.document import write_document
from tracer.texts import command_line, errno_name, signal_name

if TYPE_CHECKING:
    from types import TracebackType

    from tracer.model import Event, Fields
    from tracer.sinks.output import Output

# How many rows a table has at most, and how many processes a row names: a process may make up names without end.
MAX_ROWS, MAX_PIDS = 50_000, 1_000

_MODES = {"O_RDONLY": "read", "O_WRONLY": "write", "O_RDWR": "read_write"}

Row = dict[str, Any]


class Profile:
    """Takes events, and writes the document at the end.

    Attributes:
        written: events that the document is made of.
        lost: events that it lacks.
    """

    def __init__(self, output: Output, format: str, *, redact: bool, words: Sequence[str]) -> None:
        self._output = output
        self._format = format
        self._redact = redact
        self._hide = text_redactor(redact=redact, words=words)
        self._began = time.monotonic()
        self._first_ns = self._last_ns = 0
        self._live = False
        self._processes: dict[int, Row] = {}
        self._libraries: dict[tuple[str, Any], Row] = {}
        self._files: dict[str, Row] = {}
        self._calls: dict[str, int] = {}
        self._handshakes: dict[tuple[Any, ...], Row] = {}
        self._connections = Connections()
        self._algorithms: dict[tuple[Any, ...], Row] = {}
        self.written = 0
        self.lost = 0

    def begin(self, pids: Iterable[int]) -> None:
        """The processes that are watched, and that run now."""
        self._live = True
        self._began = time.monotonic()
        for pid in pids:
            self._look(pid)

    def __enter__(self) -> Profile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            write_document(self._output, self._format, self.document(), summary)

    def flush(self) -> None:
        """All is written at the end."""

    def write(self, event: Event) -> None:
        """Take one event."""
        fields, kind = event.fields, event.kind
        self.written += 1
        self._first_ns = self._first_ns or fields["wall_ns"]
        self._last_ns = fields["wall_ns"]
        process = self._process(fields)
        if kind.image:
            process.update(name=fields["comm"], exe=fields["exe"], cmdline=command_line(fields["argv"]))
            process.update(
                ppid=fields["ppid"], uid=fields["uid"], gid=fields["gid"]
            )  # it may have become somebody else
        elif kind.ends:
            ended_by = signal_name(fields["signal"])
            process.update(exit_code=None if ended_by else fields["exit_code"], signal=ended_by)
        elif kind.file:
            self._file(fields)
        elif kind.name in ("lib_load", "lib_present"):
            self._library(fields, utc_text(fields["wall_ns"]) if kind.name == "lib_load" else None)
        elif kind.name == "api_call":
            if not fields.get("internal") and fields.get("function_name"):
                name = fields["function_name"]
                self._calls[name] = self._calls.get(name, 0) + 1
        elif kind.name == "tls_handshake" and fields.get("source") != "wire":
            self._handshake(fields)
        elif kind.name == "api_count":
            self._count(fields)
        else:
            self._connections.add(event)

    def _process(self, fields: Fields) -> Row:
        pid = fields["pid"]
        found = self._processes.get(pid)
        if found is None:
            if self._live:
                self._look(pid)
            found = self._processes.get(pid)
        if found is None:
            found = _process_row(pid, fields["comm"], fields["exe"])
            found["start_time"] = _start_time(fields)
            if len(self._processes) < MAX_ROWS:
                self._processes[pid] = found
        found["uid"] = fields["uid"] if found["uid"] is None else found["uid"]
        found["gid"] = fields.get("gid") if found["gid"] is None else found["gid"]
        found["exe"] = found["exe"] or fields["exe"]
        found["container"] = found["container"] or fields["container"]
        return found

    def _look(self, pid: int) -> None:
        """What /proc says of a process, if it still runs."""
        if len(self._processes) >= MAX_ROWS:
            return
        try:
            who = facts.facts(pid)
            arguments = facts.arguments(pid)
        except TracerError:
            return
        row = _process_row(pid, self._hide(who.name), None if who.exe is None else self._hide(who.exe))
        if arguments:
            shown = redact_arguments(arguments) if self._redact else arguments
            row["cmdline"] = command_line(shown) if not self._redact else self._words(command_line(shown))
        row.update(uid=who.uid, gid=who.gid, ppid=who.ppid, container=who.container)
        row["start_time"] = utc_text(facts.wall_time_ns(who.start_ticks))
        self._processes[pid] = row

    def _words(self, text: str) -> str:
        # Arguments have been redacted one by one; words of the user's choice are left.
        return self._hide(text)

    def _file(self, fields: Fields) -> None:
        path = fields.get("file_path") or fields["path"]
        at = utc_text(fields["wall_ns"])
        mode = _MODES.get(fields["flags"].partition("|")[0], "read")
        row = self._files.get(path)
        if row is None:
            row = {
                "path": path,
                "type": fields["file_type"],
                "access_count": 0,
                "first_access": at,
                "last_access": at,
                "mode": mode,
                "failed_count": 0,
                "errors": [],
                "pids": [],
            }
            if len(self._files) >= MAX_ROWS:
                self.lost += 1
                return
            self._files[path] = row
        row["access_count"] += 1
        row["last_access"] = at
        if row["mode"] != mode:
            row["mode"] = "read_write"
        error = errno_name(fields["result"])
        if error:
            row["failed_count"] += 1
            _append(row["errors"], error)
        _append(row["pids"], fields["pid"])

    def _library(self, fields: Fields, load_time: str | None) -> None:
        key = (fields["path"], fields["build_id"])
        row = self._libraries.get(key)
        if row is None:
            if len(self._libraries) >= MAX_ROWS:
                self.lost += 1
                return
            row = self._libraries[key] = {
                "name": fields["library_name"],
                "path": fields["path"],
                "load_time": load_time,
                "family": fields["family"],
                "version": fields["version"],
                "build_id": fields["build_id"],
                "pids": [],
                "evidence": "loaded",
            }
        _append(row["pids"], fields["pid"])

    def _handshake(self, fields: Fields) -> None:
        names = ("role", "peer_address", "peer_port", "success")
        key = tuple(fields.get(name) for name in names)
        if key not in self._handshakes and len(self._handshakes) >= MAX_ROWS:
            self.lost += 1
            return
        row = self._handshakes.setdefault(key, {**dict(zip(names, key)), "count": 0, "evidence": "initialised"})
        row["count"] += 1

    def _count(self, fields: Fields) -> None:
        names = ("function_name", "algorithm", "origin", "library")
        key = tuple(fields.get(name) for name in names)
        if key not in self._algorithms and len(self._algorithms) >= MAX_ROWS:
            self.lost += 1
            return
        row = self._algorithms.setdefault(key, {**dict(zip(names, key)), "count": 0, "pids": []})
        row["count"] += fields["count"]
        _append(row["pids"], fields["pid"])

    def document(self) -> Row:
        """The document so far."""
        took_s = time.monotonic() - self._began if self._live else (self._last_ns - self._first_ns) / 1e9
        processes = list(self._processes.values())
        calls = sorted(self._calls.items(), key=lambda item: (-item[1], item[0]))
        return {
            "profile_version": VERSION,
            "generated_at": utc_text(time.time_ns()),
            "duration_seconds": round(took_s, 3),
            "process": processes[0] if processes else None,
            "libraries": list(self._libraries.values()),
            "files_accessed": list(self._files.values()),
            "api_calls": [{"function_name": name, "count": count, "evidence": "initialised"} for name, count in calls],
            "statistics": {
                "total_events": self.written,
                "libraries_loaded": len(self._libraries),
                "files_accessed": len(self._files),
                "api_calls_made": sum(self._calls.values()),
                "tls_handshakes": sum(row["count"] for row in self._handshakes.values()),
                "processes": len(processes),
                "lost": self.lost + self._connections.lost,
                "connections": self._connections.count,
            },
            "processes": processes,
            "tls_handshakes": list(self._handshakes.values()),
            "connections": self._connections.rows(),
            "algorithms": sorted(self._algorithms.values(), key=lambda row: -row["count"]),
        }


def _process_row(pid: int, name: str, exe: str | None) -> Row:
    names = ("cmdline", "uid", "gid", "start_time", "ppid", "container", "exit_code", "signal")
    return {"pid": pid, "name": name, "exe": exe, **dict.fromkeys(names)}


def _start_time(fields: Fields) -> str:
    """From the boot clock, by the difference to the wall clock that the event itself has."""
    return utc_text(fields["wall_ns"] - fields["time"] + fields["start_time"])


def _append(values: list[Any], value: Any) -> None:
    if value not in values and len(values) < MAX_PIDS:
        values.append(value)


def summary(document: Row) -> Iterable[str]:
    """The document as text."""
    counts = document["statistics"]
    yield (
        f"{counts['processes']} processes in {document['duration_seconds']} s: {counts['files_accessed']} files, "
        f"{counts['libraries_loaded']} libraries, {counts['api_calls_made']} calls, {counts['lost']} events lost"
    )
    tables = (
        ("processes", document["processes"], _process_line),
        ("libraries", document["libraries"], _library_line),
        ("files", document["files_accessed"], _file_line),
        ("calls", document["api_calls"], lambda row: f"{row['count']:>8}  {row['function_name']}"),
        ("connections", document["connections"], lambda row: f"{row['count']:>8}  {connection_text(row)}"),
    )
    for title, rows, line in tables:
        if rows:
            yield ""
            yield f"{title}:"
            yield from map(line, rows)


def _process_line(row: Row) -> str:
    end = row["signal"] or ("" if row["exit_code"] is None else f"exit {row['exit_code']}")
    return f"{row['pid']:>8}  {row['name']}  {row['cmdline'] or row['exe'] or ''}  {end}".rstrip()


def _library_line(row: Row) -> str:
    return f"{len(row['pids']):>8}  {row['name']} {row['version'] or '?'}  {row['path']}"


def _file_line(row: Row) -> str:
    errors = f"  {', '.join(row['errors'])}" if row["errors"] else ""
    return f"{row['access_count']:>8}  {row['type']}  {row['path']}{errors}"
