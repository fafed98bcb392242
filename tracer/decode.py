# SPDX-License-Identifier: MIT
"""From records of the ring buffer to events.

Nothing here knows the layout of a record: it comes from the BTF of the BPF object, as the library reads
it. `SEMANTICS` says what the C types mean: how a value is read, and whether it is private.

For each kind of record the library makes a reader with the converters of `SEMANTICS`, once. Decoding a
record is then one call.
"""

from __future__ import annotations

import posixpath
import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from pybpfload import RecordReader
from pybpfload.errors import RecordError
from tracer.errors import LoadError
from tracer.known import Known
from tracer.model import KIND_BY_NAME, Event, EventKind, Fields
from tracer.objects import architecture
from tracer.rows import TIME_SIZE, Row, RowReader

if TYPE_CHECKING:
    from collections.abc import Collection

    from pybpfload.btf import Btf, RecordLayout
    from tracer.clock import BootClock
    from tracer.rows import Buffer

Private = dict[str, tuple[tuple[str, str], ...]]

# The enum whose values say which member of the union a record is: CT_FILE_OPEN is file_open.
KIND_ENUM = "ct_kind"
KIND_PREFIX = "CT_"


def read_text(raw: bytes) -> str:
    """Text of any bytes; those that are no UTF-8 become lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def read_arguments(raw: bytes) -> tuple[str, ...]:
    """Arguments that each end with a NUL, except the last if it was cut off."""
    if not raw:
        return ()
    text = raw.decode("utf-8", "surrogateescape")
    return tuple((text.removesuffix("\0")).split("\0"))


def read_result(raw: int) -> int:
    """0, or the errno as a positive number."""
    return -raw if raw < 0 else 0


# Of the kernel, not of the C library, which calls O_LARGEFILE 0 on 64-bit machines: include/uapi/asm-generic/fcntl.h,
# arch/arm64/include/uapi/asm/fcntl.h.
OPEN_ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
OPEN_FLAGS = {
    "O_CREAT": 0o100,
    "O_EXCL": 0o200,
    "O_NOCTTY": 0o400,
    "O_TRUNC": 0o1000,
    "O_APPEND": 0o2000,
    "O_NONBLOCK": 0o4000,
    "O_DSYNC": 0o10000,
    "O_ASYNC": 0o20000,
    "O_NOATIME": 0o1000000,
    "O_CLOEXEC": 0o2000000,
    "O_PATH": 0o10000000,
}
OPEN_FLAGS_BY_ARCHITECTURE = {
    "x86_64": {"O_DIRECT": 0o40000, "O_LARGEFILE": 0o100000, "O_DIRECTORY": 0o200000, "O_NOFOLLOW": 0o400000},
    "arm64": {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_DIRECT": 0o200000, "O_LARGEFILE": 0o400000},
}
# These contain one of the others, so they are looked for first.
SYNC, TMPFILE = 0o4000000, 0o20000000


class OpenFlags(Known[int, str]):
    """The text of flags of open(2), worked out once for each combination."""

    def __init__(self, architecture: str) -> None:
        super().__init__(self._text)
        bits = {**OPEN_FLAGS, **OPEN_FLAGS_BY_ARCHITECTURE[architecture]}
        first = {"O_TMPFILE": TMPFILE | bits["O_DIRECTORY"], "O_SYNC": SYNC | bits["O_DSYNC"]}
        self._bits = (*first.items(), *sorted(bits.items(), key=itemgetter(1)))

    def _text(self, flags: int) -> str:
        parts = [OPEN_ACCESS[flags & 3]]
        rest = flags & ~3
        for name, bits in self._bits:
            if rest & bits == bits:
                parts.append(name)
                rest &= ~bits
        if rest:
            parts.append(hex(rest))
        return "|".join(parts)


# How long a text may be that is kept, and how many. Most are much shorter.
KEPT_SIZE, KEPT = 256, 4096


def read_device(raw: int) -> str:
    """``major:minor`` of the kernel's number, "" for none."""
    return f"{raw >> 20}:{raw & 0xFFFFF}" if raw else ""


def read_names(names: list[bytes]) -> str | None:
    """A path from its names, the last one first, with an empty one behind them if they are all; else None."""
    if len(names) < 2 or names[-1] or names[-2]:
        return None
    return read_text(b"/" + b"/".join(names[-3::-1]))


def read_open_strings(raw: bytes) -> tuple[str, str | None]:
    """The name that the caller gave, and the path behind it."""
    first, *names = raw.split(b"\0")
    return read_text(first), read_names(names)


def read_failed_strings(raw: bytes) -> tuple[str, str | None]:
    """The same of an open that failed: there is no file, but where it would have been."""
    asked, found = read_open_strings(raw)
    if asked.startswith("/"):
        return asked, asked
    return asked, None if found is None else posixpath.join(found, asked)


_opened = Known(read_open_strings, KEPT, KEPT_SIZE)
_failed = Known(read_failed_strings, KEPT, KEPT_SIZE)


def split_open_strings(fields: Fields, raw: bytes) -> None:
    """The name that the caller gave, and where the file lies or should have been."""
    asked, found = (_failed if fields["result"] else _opened)[raw]
    # open_by_handle_at() takes no name.
    fields["path"] = asked or found or ""
    fields["file_path"] = found


def split_exec_strings(fields: Fields, raw: bytes) -> None:
    """The program that the caller named, and its arguments."""
    program, _, arguments = raw.partition(b"\0")
    fields["path"] = read_text(program)
    fields["argv"] = read_arguments(arguments)
    fields["argv_cut"] = fields["argv_size"] > len(arguments)


def split_file_strings(fields: Fields, raw: bytes) -> None:
    """Where the file lies; its name alone if that is all there is."""
    names = raw.split(b"\0")
    fields["path"] = read_names(names) or read_text(names[0])


class Semantic(NamedTuple):
    """What a C type means.

    Attributes:
        read: from the raw value to that of the event; None takes it as it is.
        private: how redaction treats it: ``path``, ``argv``, or "" for not at all.
        split: for several strings in one array, see events.h: puts them into the fields of the event.
        gives: the fields that `split` sets and that are private, and how redaction treats them.
    """

    read: Callable[[Any], Any] | None = None
    private: str = ""
    split: Callable[[Fields, bytes], None] | None = None
    gives: tuple[tuple[str, str], ...] = ()


SEMANTICS = {
    "ct_boot_ns": Semantic(),
    "ct_pid": Semantic(),
    "ct_host_pid": Semantic(),
    "ct_uid": Semantic(),
    "ct_gid": Semantic(),
    "ct_cgroup": Semantic(),
    "ct_comm": Semantic(Known(read_text, KEPT).__getitem__),
    "ct_result": Semantic(Known(read_result, KEPT).__getitem__),
    # Depends on the machine: see `Decoder`.
    "ct_open_flags": Semantic(),
    "ct_exit_code": Semantic(),
    "ct_signal": Semantic(),
    "ct_function": Semantic(),
    "ct_role": Semantic(),
    "ct_ip": Semantic(),
    "ct_text": Semantic(read_text, "path"),
    "ct_inode": Semantic(),
    "ct_device": Semantic(Known(read_device, KEPT).__getitem__),
    "ct_mode": Semantic(),
    "ct_address": Semantic(),
    "ct_algorithm": Semantic(Known(read_text, KEPT).__getitem__),
    "ct_asked": Semantic(read_text, "path"),
    "ct_open_strings": Semantic(split=split_open_strings, gives=(("path", "path"), ("file_path", "path"))),
    "ct_exec_strings": Semantic(split=split_exec_strings, gives=(("path", "path"), ("argv", "argv"))),
    "ct_file_strings": Semantic(split=split_file_strings, gives=(("path", "path"),)),
}


Finish = Callable[[dict[str, Any]], None]


class Text(NamedTuple):
    """Where text is in a record behind its time, and which fields of the event are made of it.

    Attributes:
        used: where the four bytes are that say how much of it is used; 0 if there are none.
    """

    fields: frozenset[str]
    offset: int
    size: int
    used: int


class Decoder(RecordReader[Event]):
    """Decodes records of all kinds.

    Args:
        layout: of the union of all records.
        btf: where the layout comes from; it has the enum of kinds too.
        clock: for wall-clock times.
        machine: that the records come from, as `uname -m` has it; this one if empty.

    Attributes:
        btf: where the layout comes from.
        private: which fields of each kind redaction has to look at, and how.
        rows: takes records from a ring, to be decoded later.

    Raises:
        LoadError: the object's records are not those that this program knows.
    """

    __slots__ = ("_clock", "_kind_at", "_kinds", "_semantics", "_texts", "btf", "private", "rows")

    def __init__(self, layout: RecordLayout, btf: Btf, clock: BootClock, machine: str = "") -> None:
        self._clock = clock
        self.btf = btf
        self._semantics = {**SEMANTICS, "ct_open_flags": Semantic(OpenFlags(architecture(machine)).__getitem__)}
        self._texts: dict[str, list[Text]] = {}
        self.private: Private = {}
        self._kinds: dict[int, tuple[EventKind, RecordReader[dict[str, Any]], Finish | None]] = {}
        for enumerator, number in btf.enum_values(KIND_ENUM).items():
            name = enumerator[len(KIND_PREFIX) :].lower()
            if name not in KIND_BY_NAME or not 0 < number < 256:
                raise LoadError(f"event kind `{name}` = {number}: expected 1 to 255, and a name in KINDS")
            self._kinds[number] = self._reader(KIND_BY_NAME[name], layout.member(name))
        header = layout.member("header")
        kind, time = header["kind"], header["time"]
        if time.offset or time.size != TIME_SIZE:
            raise LoadError("records of this object do not begin with a time")
        # Kinds are small numbers: the byte that has the low bits is enough to tell them apart.
        self._kind_at = kind.offset + (0 if sys.byteorder == "little" else kind.size - 1)
        super().__init__(layout, self._make_read(kind.offset + kind.size))
        self.min_size = kind.offset + kind.size
        self.rows = RowReader(layout, self._kind_at, {number: each[1].min_size for number, each in self._kinds.items()})

    @property
    def kinds(self) -> dict[int, str]:
        """The names of the kinds of events by their numbers."""
        return {number: kind.name for number, (kind, _, _) in self._kinds.items()}

    def event(self, row: Row) -> Event:
        """The event of a row that `rows` has read."""
        time_ns, rest = row
        raw = time_ns.to_bytes(TIME_SIZE, sys.byteorder) + rest
        event = self.read(raw, 0, len(raw))
        event.record = rest
        return event

    def without(self, event: Event, fields: Collection[str]) -> bytes:
        """The event's record behind its time, with nothing left of the text that these fields are made of."""
        rest = bytearray(event.record)
        for text in self._texts[event.kind.name]:
            if not text.fields.isdisjoint(fields):
                end = min(text.offset + text.size, len(rest))
                rest[text.offset : end] = bytes(end - text.offset)
                if text.used:
                    rest[text.used : text.used + 4] = bytes(4)
        return bytes(rest)

    def _make_read(self, min_size: int) -> Callable[[Buffer, int, int], Event]:
        """The function for single records: one, since calls are what costs."""
        kinds, kind_at, clock = self._kinds, self._kind_at, self._clock
        readers = {number: (kind, reader.read, finish) for number, (kind, reader, finish) in kinds.items()}

        def read(buffer: Buffer, offset: int, size: int) -> Event:
            number = buffer[offset + kind_at] if size >= min_size else 0
            try:
                kind, read_fields, finish = readers[number]
            except KeyError:
                raise RecordError(f"record of {size} bytes: kind {number} is none of {sorted(kinds)}") from None
            fields = read_fields(buffer, offset, size)
            fields["wall_ns"] = fields["time"] + clock.offset_ns
            if finish:
                finish(fields)
            return Event(kind, fields)

        return read

    def _reader(
        self, kind: EventKind, layout: RecordLayout
    ) -> tuple[EventKind, RecordReader[dict[str, Any]], Finish | None]:
        semantics = {field.name: self._semantics.get(field.type_name, Semantic()) for field in layout.fields}
        self._texts[kind.name] = [
            Text(frozenset((f.name, *(name for name, _ in semantics[f.name].gives))), f.offset - TIME_SIZE,
                 f.size, layout[f"{f.name}_size"].offset - TIME_SIZE if f"{f.name}_size" in semantics else 0)
            for f in layout.fields if f.kind == "chars"
        ]  # fmt: skip
        whole = [(name, each.private) for name, each in semantics.items() if each.private]
        self.private[kind.name] = (*whole, *(given for each in semantics.values() for given in each.gives))
        convert = {name: each.read for name, each in semantics.items() if each.read}
        # Arrays that have a size of their own: NULs at their end may belong to the data.
        sized = [(f.name, f"{f.name}_size", f"{f.name}_cut", f.size, convert.pop(f.name, bytes))
                 for f in layout.fields if f"{f.name}_size" in semantics]  # fmt: skip
        splits = [(name, each.split) for name, each in semantics.items() if each.split]

        def finish(fields: dict[str, Any]) -> None:
            for name, used, cut, room, convert_array in sized:
                fields[cut] = fields[used] > room
                fields[name] = convert_array(fields[name][: fields[used]])
            for name, split in splits:
                split(fields, fields.pop(name))

        reader = layout.reader(convert, raw=[name for name, *_ in sized], into=dict)
        return kind, reader, finish if sized or splits else None
