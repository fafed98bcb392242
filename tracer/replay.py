# SPDX-License-Identifier: MIT
"""Shows a recording as if it happened now: see `tracer.sinks.recording`.

A recording may come from anybody, so every value is checked before a format relies on its type.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tracer.errors import TracerError
from tracer.model import KIND_BY_NAME, Event, EventKind
from tracer.pipeline import build_known, run_pipeline
from tracer.sinks import is_document
from tracer.sinks.output import open_output
from tracer.sinks.recording import FORMAT, VERSION
from tracer.sinks.values import event_values
from tracer.view import View

if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.pipeline.select import Selection
    from tracer.stop import Stop

BATCH = 1024
LONGEST_LINE = 1 << 20
LARGEST = (1 << 63) - 1

# All that events of any kind are asked for by filters and views.
NEEDED = ("time", "wall_ns", "start_time", "pid", "uid", "comm", "cgroup", "exe", "container")

# Fields of these types and no other; the rest may be text, numbers or lists of text.
_NUMBERS = ("time", "wall_ns", "start_time", "pid", "uid", "cgroup")
_MAYBE_NUMBERS = ("gid", "ppid", "inode", "result")
_TEXTS = ("comm", "path", "file_type", "flags", "library_name")
_JSON = {"integer": int, "string": str, "boolean": bool}

# What redaction looks at, of kinds that have it: a recording without --no-redact has nothing of it left.
PATHS = ("path", "file_path")


def replay(options: Namespace, selection: Selection, log: Log, stop: Stop, view: View | None = None) -> int:
    """Show the recording of the options; returns the exit code.

    Raises:
        TracerError: it is none, or the output takes it not.
    """
    view = view or View()
    selection.warn(log.warning)
    settings = selection.settings._replace(own_pid=0, tree=())
    private = {
        name: (*((path, "path") for path in PATHS if _has(kind, path)), *((("argv", "argv"),) if kind.image else ()))
        for name, kind in KIND_BY_NAME.items()
    }
    stages = build_known(settings, private, selection, options.words)
    document = view.document or is_document(options.format)
    with (
        open_output(options.output, lambda: stop.requested, document=document) as output,
        view.make_sink(options, output) as sink,
        log.progress("events") as progress,
    ):
        batch: list[Event] = []
        done = 0
        hidden = document or options.output not in ("", "-") or not os.isatty(1)  # what is written, on the terminal
        for event in read(options.replay, log):
            batch.append(event)
            if len(batch) >= BATCH:
                for each in run_pipeline(stages, batch):
                    sink.write(each)
                sink.flush()
                done += len(batch)
                if hidden:
                    progress.show(done)
                batch.clear()
                if stop.requested:
                    break
        for each in run_pipeline(stages, batch):
            sink.write(each)
        sink.flush()
        view.end(0)
        log.note(f"{sink.written} events of {options.replay}")
    return stop.exit_code


def _has(kind: EventKind, field: str) -> bool:
    return field in (kind.file, kind.image, kind.library) or any(column.field == field for column in kind.columns)


def read(path: str, log: Log) -> Iterator[Event]:
    """The events of a recording; one that was cut off gives what there is.

    Raises:
        TracerError: it is none, or something in it is wrong.
    """
    kinds: list[tuple[EventKind, list[str]]] = []
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                value = json.loads(line)
                if number == 1:
                    _check_head(value)
                elif isinstance(value, dict):
                    kinds.append(_kind(value))
                else:
                    yield _event(kinds, value)
    except EOFError:
        text = f"{path}: its end is missing: the recording was cut off"
        log.warning(text)
    except gzip.BadGzipFile:
        raise TracerError(f"{path} is no recording", hint="make one with monitor --record FILE") from None
    except (ValueError, LookupError, TypeError, AttributeError, zlib.error) as error:
        raise TracerError(f"{path}: line {number} is not as it should be: {error}") from error
    except OSError as error:
        raise TracerError(f"cannot read {path}: {error.strerror}") from error


def _check_head(value: Any) -> None:
    if value.get("format") != FORMAT:
        raise ValueError("it is no recording")
    if value.get("version") != VERSION:
        raise ValueError(f"version {value.get('version')}, expected {VERSION}")


def _kind(value: dict[str, Any]) -> tuple[EventKind, list[str]]:
    names = value["fields"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("fields: expected a list of names")
    kind = KIND_BY_NAME[value["kind"]]
    lacking = {*NEEDED, *(column.field for column in kind.columns)} - set(names)
    if lacking:
        raise ValueError(f"kind {kind.name} lacks {', '.join(sorted(lacking))}")
    return kind, names


def _event(kinds: list[tuple[EventKind, list[str]]], value: list[Any]) -> Event:
    kind, names = kinds[value[0]]
    if len(value) != len(names) + 1:
        raise ValueError(f"{len(value) - 1} values, expected {len(names)}")
    fields = {name: tuple(each) if isinstance(each, list) else each for name, each in zip(names, value[1:])}
    for name in (*_NUMBERS, *_MAYBE_NUMBERS):
        each = fields.get(name)
        if each is None and name in _MAYBE_NUMBERS:
            continue
        if type(each) is not int or not -LARGEST <= each <= LARGEST:
            raise ValueError(f"{name} is {each!r}, expected a number")
    for name in _TEXTS:
        if not isinstance(fields.get(name), (str, type(None))):
            raise ValueError(f"{name}: expected text")
    event = Event(kind, fields)
    shown = event_values(event)
    for column in kind.columns:
        each = shown[column.name]
        if not (each is None and column.nullable) and type(each) is not _JSON[column.type]:
            raise ValueError(f"{column.name} is {each!r}, expected {column.type}")
    return event
