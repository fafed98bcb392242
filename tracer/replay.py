# SPDX-License-Identifier: MIT
"""Shows a recording as if it happened now: see `tracer.sinks.recording`.

A recording may come from anybody. Its BTF is held against that of our own objects, once: each field has to be of the
same type, so that decoding gives what the formats rely on. All that stands beside records is checked, too.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

import pybpfload
from pybpfload.btf import Btf, Kind, RecordLayout
from pybpfload.errors import BpfError
from tracer import objects
from tracer.decode import Decoder
from tracer.errors import LoadError, TracerError
from tracer.frames import CutOffError, NoRecordingError, json_object, read_frames
from tracer.model import KIND_BY_NAME, Event
from tracer.pipeline import build_known, run_stages
from tracer.present import PRESENT, PRIVATE
from tracer.sinks import is_document, repeater
from tracer.sinks.output import open_output
from tracer.sinks.recording import (
    BTF,
    CLOCK,
    DEFINITION,
    EVENTS,
    FACTS,
    MOST_DEFINITIONS,
    NUMBER,
    OFFSET,
    ONE_EVENT,
    PLAIN,
    RESET,
    FormError,
)
from tracer.sinks.values import event_values
from tracer.view import View

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import BinaryIO

    from tracer.decode import Private
    from tracer.log import Log
    from tracer.pipeline import Stages
    from tracer.pipeline.select import Selection
    from tracer.sinks import Sink
    from tracer.stop import Stop

RECORDS = "ct_event"
OWN_OBJECT = "process_exec_trace"

LARGEST = (1 << 63) - 1
# The last second that has a date, in nanoseconds since 1970.
LAST_WALL_NS = 253_402_300_799 * 10**9

# All that events of any kind are asked for by filters and views.
NEEDED = ("time", "wall_ns", "start_time", "pid", "uid", "comm", "cgroup", "exe", "container")

# Fields of these types and no other; the rest may be text, numbers or lists of text.
_NUMBERS = ("time", "wall_ns", "start_time", "pid", "uid", "cgroup")
_MAYBE_NUMBERS = ("gid", "ppid", "inode", "result")
_TEXTS = ("comm", "path", "file_type", "flags", "library_name", "exe", "container", "file_path")
_JSON = {"integer": int, "string": str, "boolean": bool, "array": list}


class _Clock:
    """The wall clock of the host that recorded."""

    offset_ns = 0


class Player:
    """Brings the events of recordings through stages to a sink.

    Args:
        build: gives the stages, when it is known what is private in each kind of event, and whether it is hidden.
        sink: where the events go.
        over: whether to end.
    """

    def __init__(self, build: Callable[[Private, bool], Stages], sink: Sink, over: Callable[[], bool]) -> None:
        self._build, self._sink, self._over = build, sink, over
        self._prepare, self._again = repeater(sink)
        self._clock = _Clock()
        self._head: dict[str, Any] = {}
        self._decoder: Decoder | None = None
        self._stages: Stages = ()
        self._facts: list[dict[str, Any]] = []
        # What each event of a definition is: None before the first one, () if it is dropped.
        self._forms: list[Any] = []
        self._definitions: list[tuple[int, bytes] | Event] = []
        # Pairs of facts and kinds whose types are known to be right.
        self._checked: set[tuple[int, str]] = set()

    def play(self, file: BinaryIO) -> None:
        """All of it.

        Raises:
            CutOffError, NoRecordingError, ValueError, zlib.error: see `read_frames`.
        """
        take = {
            BTF: self._take_btf,
            CLOCK: self._take_clock,
            FACTS: self._take_facts,
            DEFINITION: self._take_definition,
            PLAIN: self._take_plain,
            EVENTS: self._take_events,
            RESET: self._take_reset,
        }
        try:
            for letter, content in read_frames(file):
                if not letter:
                    self._head = content
                    continue
                if letter not in take:
                    raise ValueError(f"a frame of unknown kind {letter}")
                if self._decoder is None and letter != BTF:
                    raise ValueError("it does not begin with BTF")
                take[letter](content)
                if letter == EVENTS:
                    self._sink.flush()
                    if self._over():
                        return
        finally:
            self._sink.flush()

    def _take_btf(self, content: bytes) -> None:
        if self._decoder is not None:
            raise ValueError("more than one BTF")
        machine = self._head.get("machine")
        if machine not in objects.ARCHITECTURES:
            raise ValueError(f"machine {machine!r} is none of {', '.join(objects.ARCHITECTURES)}")
        btf = Btf(content, name="BTF of the recording")
        layout = RecordLayout(btf, btf.find(RECORDS, Kind.UNION))  # type: ignore[arg-type]
        try:
            decoder = Decoder(layout, btf, self._clock, machine)  # type: ignore[arg-type]
        except LoadError as error:
            raise ValueError(str(error)) from error
        check_layout(layout)
        self._decoder = decoder
        self._stages = self._build({PRESENT: PRIVATE, **decoder.private}, self._head.get("redacted") is True)

    def _take_clock(self, content: bytes) -> None:
        (offset_ns,) = OFFSET.unpack(content)
        if not 0 <= offset_ns <= LAST_WALL_NS:
            raise ValueError(f"the clock is {offset_ns} ns off")
        self._clock.offset_ns = offset_ns

    def _take_facts(self, content: bytes) -> None:
        if len(self._facts) >= MOST_DEFINITIONS:
            raise ValueError(f"more than {MOST_DEFINITIONS} facts")
        self._facts.append(json_object(content))

    def _define(self, definition: tuple[int, bytes] | Event) -> None:
        if len(self._definitions) >= MOST_DEFINITIONS:
            raise ValueError(f"more than {MOST_DEFINITIONS} definitions")
        self._definitions.append(definition)
        self._forms.append(None)

    def _take_definition(self, content: bytes) -> None:
        (facts,) = NUMBER.unpack_from(content)
        if facts >= len(self._facts):
            raise ValueError(f"facts {facts} of {len(self._facts)}")
        self._define((facts, content[NUMBER.size :]))

    def _take_plain(self, content: bytes) -> None:
        value = json_object(content)
        fields = value["fields"]
        kind = KIND_BY_NAME[value["kind"]]
        if not isinstance(fields, dict):
            raise TypeError("fields: expected an object")
        self._define(check(Event(kind, {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()})))

    def _take_reset(self, _content: bytes) -> None:
        self._facts.clear()
        self._definitions.clear()
        self._forms.clear()
        self._checked.clear()

    def _take_events(self, content: bytes) -> None:
        forms, again, first = self._forms, self._again, self._first
        offset_ns = self._clock.offset_ns
        rows = list(ONE_EVENT.iter_unpack(content))
        if rows and max(rows, key=_time)[1] > LAST_WALL_NS - offset_ns:
            raise ValueError("a time that is no time")
        for number, time_ns in rows:
            form = forms[number]
            if form is None:
                first(number, time_ns)
            elif form:
                again(form, time_ns, time_ns + offset_ns)

    def _first(self, number: int, time_ns: int) -> None:
        definition = self._definitions[number]
        if isinstance(definition, Event):
            # It has its own time, and is not repeated.
            event = Event(definition.kind, dict(definition.fields))
        else:
            event = self._event(definition, time_ns)
        left = run_stages(self._stages, event)
        if event.record:
            form = self._forms[number] = () if left is None else self._prepare(left)
            if form:
                self._again(form, time_ns, time_ns + self._clock.offset_ns)
        elif left is not None:
            self._sink.write(left)

    def _event(self, definition: tuple[int, bytes], time_ns: int) -> Event:
        assert self._decoder is not None
        facts, rest = definition
        row = (time_ns, rest)
        event = self._decoder.event(row)
        fields = event.fields
        if fields["start_time"] > LAST_WALL_NS - self._clock.offset_ns:
            raise ValueError("the start of a process is no time")
        fields.update(self._facts[facts])
        key = facts, event.kind.name
        if key not in self._checked:
            check(event)
            self._checked.add(key)
        return event


def _time(row: tuple[int, int]) -> int:
    return row[1]


def check_layout(layout: RecordLayout) -> None:
    """Compare it with our own.

    Raises:
        ValueError: fields that we know are missing, or have another type.
    """
    spec = pybpfload.read_object(objects.read(OWN_OBJECT), name=OWN_OBJECT)
    for kind in spec.records["events"].fields:
        if kind.name not in layout.names:
            continue  # it is newer than the recording
        theirs, ours = layout.member(kind.name), spec.records["events"].member(kind.name)
        for field in ours.fields:
            same = theirs[field.name] if field.name in theirs.names else None
            if same is None or (same.type_name, same.kind, same.size) != (field.type_name, field.kind, field.size):
                raise ValueError(f"{kind.name}.{field.name} of its records is not {field.type_name}")


def check(event: Event) -> Event:
    """The event, if its fields are of the right types.

    Raises:
        ValueError: one is not.
    """
    kind, fields = event.kind, event.fields
    lacking = {*NEEDED, *(column.field for column in kind.columns)} - fields.keys()
    if lacking:
        raise ValueError(f"{kind.name} lacks {', '.join(sorted(lacking))}")
    for name in (*_NUMBERS, *_MAYBE_NUMBERS):
        each = fields.get(name)
        if each is None and name in _MAYBE_NUMBERS:
            continue
        if type(each) is not int or not -LARGEST <= each <= LARGEST:
            raise ValueError(f"{name} is {each!r}, expected a number")
    if not 0 <= fields["wall_ns"] <= LAST_WALL_NS:
        raise ValueError(f"wall_ns is {fields['wall_ns']}, expected a time")
    # A handshake has a family, too: that of an address, a number.
    for name in (*_TEXTS, *(("family",) if kind.library else ())):
        if not isinstance(fields.get(name), (str, type(None))):
            raise ValueError(f"{name}: expected text")
    shown = event_values(event)
    for column in kind.columns:
        each = shown[column.name]
        if not (each is None and column.nullable) and type(each) is not _JSON[column.type]:
            raise ValueError(f"{column.name} is {each!r}, expected {column.type}")
    return event


def replay(options: Namespace, selection: Selection, log: Log, stop: Stop, view: View | None = None) -> int:
    """Show the recording of the options; returns the exit code.

    Raises:
        TracerError: it is none, or the output takes it not.
    """
    view = view or View()
    selection.warn(log.warning)
    settings = selection.settings._replace(own_pid=0, tree=())
    document = view.document or is_document(options.format)
    with (
        open_output(options.output, lambda: stop.requested, document=document) as output,
        view.make_sink(options, output) as sink,
        log.progress("events") as progress,
    ):
        hidden = document or options.output not in ("", "-") or not os.isatty(1)  # what is written, on the terminal

        def build(private: Private, redacted: bool) -> Stages:
            return build_known(settings, private, selection, options.words, redacted=redacted)

        def over() -> bool:
            if hidden:
                progress.show(sink.written)
            return stop.requested

        play(Player(build, sink, over), options.replay, log)
        view.end(0)
        log.note(f"{sink.written} events of {options.replay}")
    return stop.exit_code


def play(player: Player, path: str, log: Log) -> None:
    """Play a file; one that was cut off gives what there is.

    Raises:
        TracerError: it is no recording, or something in it is wrong.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise TracerError(f"cannot read {path}: {error.strerror}") from error
    with file:
        try:
            player.play(file)
        except CutOffError:
            text = f"{path}: its end is missing: the recording was cut off"
            log.warning(text)
        except NoRecordingError:
            raise TracerError(
                f"{path} is no recording", hint="make one with `record FILE` or `monitor --record FILE`"
            ) from None
        except TracerError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, FormError, zlib.error,
                BpfError) as error:  # fmt: skip
            raise TracerError(f"{path} is not as it should be: {error}") from error
