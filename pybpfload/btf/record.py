"""Readers made for one layout: a format for all its numbers, and one expression that puts them together.

Working through a list of fields costs more than the fields do. So for each layout a function is written
once, as namedtuple does it, and runs for every record: one ``unpack_from``, and one display of values.
Of equal records in a row, ``iter_unpack`` takes them all, in one loop that runs in C but for that display.

The text of the function is made of indices and numbers alone. Names come from the BTF of an object that
may be hostile, and converters from the caller: both are only values of variables.

A `_Plan` collects slots: places in the record, each with its struct code. Slots that overlap (unions,
bitfields of different widths) go into different layers, each a format of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Callable, Generic, NamedTuple, TypeVar, cast

from pybpfload.btf.codec import Buffer, Codec
from pybpfload.errors import RecordError, printable

if TYPE_CHECKING:
    from pybpfload.btf.layout import Field, RecordLayout

__all__ = ["Record", "RecordReader", "check_names", "loop_reader", "make_reader"]

T = TypeVar("T")
Convert = Callable[[Any], Any]

MAX_VALUES = 250  # of one function; a larger part of a record is read by its codec
MAX_INLINE = 32  # of one array
MAX_PARTS = 1000  # structs and arrays of one function
MAX_FORMATS = 256  # that a reader remembers
INTEGERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Record(tuple):  # type: ignore[type-arg]
    """A decoded struct: a tuple whose values also have names, as attributes and as ``record["name"]``."""

    __slots__ = ()
    names: tuple[str, ...] = ()

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                key = self.names.index(key)
            except ValueError:
                raise KeyError(key) from None
        return tuple.__getitem__(self, key)

    def asdict(self) -> dict[str, Any]:
        """The values by name, nested records too."""
        return {n: v.asdict() if isinstance(v, Record) else v for n, v in zip(self.names, self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in zip(self.names, self))})"


class RecordReader(Generic[T]):
    """Decodes records of one layout; `RecordLayout.reader` makes it. Call it with buffer, offset and size.

    Attributes:
        read: the same as a plain function, which is what to call in a loop.
        batched: whether `read_many` is faster than calling `read` for each.
    """

    __slots__ = ("_formats", "_has_tail", "_layers", "_rows", "_tail", "batched", "min_size", "read", "size")

    def __init__(
        self,
        layout: RecordLayout,
        read: Callable[..., T],
        rows: Callable[[Any], list[T]] | None = None,
        layers: tuple[str, ...] = (),
        tail: int = 0,
    ) -> None:
        self.read, self._rows, self._layers, self._tail = read, rows, layers, tail
        self._has_tail = layout.has_tail
        self.batched = rows is not None
        self.size, self.min_size = layout.size, layout.min_size
        self._formats: dict[tuple[int, int, int], list[struct.Struct]] = {}

    def __call__(self, buffer: Buffer, offset: int = 0, size: int | None = None) -> T:
        """The value of one record, copied out of `buffer`.

        Args:
            size: of the record, to the end of the buffer when None.

        Raises:
            RecordError: the record is too short, or goes beyond the buffer; or a converter said so.
        """
        return self.read(buffer, offset, size)

    def read_many(
        self, buffer: Buffer, offset: int, count: int, *, stride: int = 0, size: int | None = None, skip: int = 0
    ) -> list[T]:
        """The values of records that follow each other.

        Args:
            stride: from one record to the next, in bytes; `size` and `skip` when 0.
            size: of each record; that of the whole layout when None.
            skip: bytes before each record, within its stride.

        Raises:
            RecordError: as `read`, and none is returned.
        """
        size = self.size if size is None else size
        stride = stride or size + skip
        end = offset + count * stride
        if size < self.min_size or skip < 0 or stride < skip + size or offset < 0 or count < 0 or end > len(buffer):
            raise RecordError(
                f"{count} records of {size} bytes, each {stride} from the last, at {offset} of {len(buffer)}: "
                f"expected {self.min_size} bytes or more, within the buffer"
            )
        if self._rows is None:
            return [self.read(buffer, at, size) for at in range(offset + skip, end + skip, stride)]
        if not count:
            return []
        formats = self._formats.get((stride, size, skip)) or self._make_formats(stride, size, skip)
        rows: Any = None
        view = memoryview(buffer)[offset:end]
        try:
            rows = formats[0].iter_unpack(view) if len(formats) == 1 else zip(*[f.iter_unpack(view) for f in formats])
            return self._rows(rows)
        except BaseException as error:
            # The traceback would keep the buffer in use, and a mapping in use cannot be closed.
            del rows, view
            from traceback import clear_frames

            clear_frames(error.__traceback__)
            raise

    def _make_formats(self, stride: int, size: int, skip: int) -> list[struct.Struct]:
        """One format for each layer, that goes over the whole stride."""
        made = []
        for number, layer in enumerate(self._layers):
            order, codes = layer[0], layer[1:]
            if self._has_tail and not number:
                codes += f"{min(size - self.min_size, self._tail)}s"
            used = struct.calcsize(order + codes)
            made.append(struct.Struct(f"{order}{skip}x{codes}{stride - skip - used}x"))
        if len(self._formats) < MAX_FORMATS:
            self._formats[stride, size, skip] = made
        return made


class _Tails(dict[int, Callable[..., Any]]):
    """``unpack_from`` of a record with a short last member, by the record's size."""

    def __init__(self, layer: str, min_size: int, room: int) -> None:
        super().__init__()
        self._layer, self._min_size, self._room = layer, min_size, room

    def __missing__(self, size: int) -> Callable[..., Any]:
        unpack = struct.Struct(f"{self._layer}{min(size - self._min_size, self._room)}s").unpack_from
        if len(self) < MAX_FORMATS:
            self[size] = unpack
        return unpack


class _Slot(NamedTuple):
    offset: int
    size: int
    code: str
    first: int  # of its values
    values: int


class _TooLargeError(Exception):
    """A layout has more values than a function should."""


class _Plan:
    """What to unpack where, and what to call the values."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._slots: dict[tuple[int, str], _Slot] = {}
        self._values = self._parts = 0
        self.names: dict[str, Any] = {"z": b"\0"}

    def bind(self, value: object) -> str:
        """A name for something that the function uses."""
        name = f"n{len(self.names)}"
        self.names[name] = value
        return name

    def slot(self, offset: int, size: int, code: str, count: int = 1) -> int:
        """The number of the first value of a place."""
        found = self._slots.get((offset, code))
        if found is None:
            if self._values + count > MAX_VALUES:
                raise _TooLargeError
            found = self._slots[offset, code] = _Slot(offset, size, code, self._values, count)
            self._values += count
        return found.first

    def value(self, codec: Codec, offset: int, *, raw: bool = False) -> str:
        """An expression for the value of a codec at an offset."""
        saved, values = dict(self._slots), self._values
        try:
            inline = self._inline(codec, offset, raw)
        except _TooLargeError:
            # Too much of it: it is read as a whole, by its codec.
            self._slots, self._values = saved, values
            inline = ""
        if inline:
            return inline
        first = self.slot(offset, codec.size, f"{codec.size}s")
        return f"{self.bind(codec.read or codec.unpack_value)}(v{first})"

    def _inline(self, codec: Codec, offset: int, raw: bool) -> str:
        """As `value`; "" for what is too large, or has a reader of its own."""
        if codec.kind == "chars":
            first = self.slot(offset, codec.size, codec.code)
            return f"v{first}" if raw else f"v{first}.rstrip(z)"
        if codec.kind == "struct":
            self._count()
            layout = cast("RecordLayout", codec)
            parts = [self.value(f.codec, offset + f.offset) for f in layout.fields]
            return f"{self.bind(layout.record)}(({''.join(f'{part}, ' for part in parts)}))"
        if codec.element is not None:
            return self._array(codec.element, codec.count, offset)
        if codec.bits is not None and codec.size in INTEGERS:
            start, width, signed = codec.bits
            shift = codec.size * 8 - start - width if self._order == ">" else start
            first = self.slot(offset, codec.size, INTEGERS[codec.size])
            bits = f"v{first} >> {shift} & {(1 << width) - 1}"
            sign = 1 << (width - 1) if width else 0
            return f"(({bits} ^ {sign}) - {sign})" if signed else f"({bits})"
        if codec.read is None:
            return f"v{self.slot(offset, codec.size, codec.code)}"
        return ""

    def _array(self, element: Codec, count: int, offset: int) -> str:
        if count > MAX_INLINE or not element.size:
            return ""
        self._count()
        if element.read is None and len(element.code) == 1:
            first = self.slot(offset, element.size * count, f"{count}{element.code}", count)
            return f"({''.join(f'v{i}, ' for i in range(first, first + count))})"
        parts = [self.value(element, offset + i * element.size) for i in range(count)]
        return f"({''.join(f'{part}, ' for part in parts)})"

    def _count(self) -> None:
        # Members without a size take no slots.
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _TooLargeError

    def layers(self) -> list[tuple[str, list[int]]]:
        """Formats, each with the numbers of its values. Together they have all slots."""
        made: list[tuple[str, list[int]]] = []
        ends: list[int] = []
        for slot in sorted(self._slots.values(), key=lambda s: (s.offset, s.size)):
            number = next((i for i, end in enumerate(ends) if end <= slot.offset), len(ends))
            if number == len(ends):
                ends.append(0)
                made.append((self._order, []))
            codes, values = made[number]
            pad = f"{slot.offset - ends[number]}x" if slot.offset > ends[number] else ""
            made[number] = codes + pad + slot.code, [*values, *range(slot.first, slot.first + slot.values)]
            ends[number] = slot.offset + slot.size
        return made


def make_reader(
    layout: RecordLayout,
    order: str,
    convert: Mapping[str, Convert],
    raw: Collection[str],
    into: Callable[..., Any] | None,
    cut: bool = False,
) -> RecordReader[Any]:
    """See `RecordLayout.reader`."""
    plan = _Plan(order)
    plan.names["refuse"] = layout.refuse
    fields = layout.fields[:-1] if layout.has_tail else layout.fields
    try:
        parts = [_convert(plan, f, plan.value(f.codec, f.offset, raw=f.name in raw), convert) for f in fields]
        layers = plan.layers() or [(order, [])]
    except _TooLargeError:
        return loop_reader(layout, convert, raw, into, cut)
    targets = [[f"v{i}" for i in values] for _, values in layers]
    unpack = [plan.bind(struct.Struct(codes).unpack_from) for codes, _ in layers]
    if layout.has_tail:
        # Of the first layer, which has nothing behind the tail's offset, and is padded up to it.
        codes = layers[0][0]
        codes += f"{layout.min_size - struct.calcsize(codes)}x"
        layers[0] = (codes, layers[0][1])
        unpack[0] = f"{plan.bind(_Tails(codes, layout.min_size, layout.tail_size))}[size]"
        last = layout.fields[-1]
        text = "tail" if last.name in raw else "tail.partition(z)[0]" if cut else "tail.rstrip(z)"
        parts.append(_convert(plan, last, text, convert))
        targets[0].append("tail")
    rows = [f"({''.join(f'{name}, ' for name in names)})" for names in targets]
    made = _made(plan, layout, parts, into)
    lines = ["def read(buffer, offset=0, size=None):", " if size is None: size = len(buffer) - offset"]
    lines.append(f" if size < {layout.min_size} or offset < 0 or offset + size > len(buffer):")
    lines.append("  raise refuse(buffer, offset, size)")
    lines += [f" {row} = {name}(buffer, offset)" for row, name in zip(rows, unpack) if row != "()"]
    lines += [f" return {made}", "def rows(rows):"]
    target = rows[0] if len(rows) == 1 else ", ".join(rows)
    lines.append(f" return [{made} for {target} in rows]")
    exec(compile("\n".join(lines), "<record reader>", "exec"), plan.names)
    many = plan.names["rows"] if any(targets) else None
    return RecordReader(layout, plan.names["read"], many, tuple(codes for codes, _ in layers), layout.tail_size)


def _convert(plan: _Plan, field: Field, value: str, convert: Mapping[str, Convert]) -> str:
    function = convert.get(field.name)
    return value if function is None else f"{plan.bind(function)}({value})"


def _made(plan: _Plan, layout: RecordLayout, parts: list[str], into: Callable[..., Any] | None) -> str:
    """The expression for the whole record."""
    values = f"({''.join(f'{part}, ' for part in parts)})"
    if into is None:
        return f"{plan.bind(layout.record)}({values})"
    if into is tuple:
        return values
    if into is dict:
        return f"{{{', '.join(f'{plan.bind(name)}: {part}' for name, part in zip(layout.names, parts))}}}"
    return f"{plan.bind(into)}{values}"


def loop_reader(
    layout: RecordLayout,
    convert: Mapping[str, Convert],
    raw: Collection[str],
    into: Callable[..., Any] | None,
    cut: bool,
) -> RecordReader[Any]:
    """As `make_reader`, field by field: for unions, and for more values than one function should have."""

    def read(buffer: Buffer, offset: int = 0, size: int | None = None) -> Any:
        if size is None:
            size = len(buffer) - offset
        if size < layout.min_size or offset < 0 or offset + size > len(buffer):
            raise layout.refuse(buffer, offset, size)
        values = []
        for f in layout.fields:
            value = layout.part(f, buffer, offset, size, raw=f.name in raw, cut=cut)
            function = convert.get(f.name)
            values.append(value if function is None or value is None else function(value))
        if into is None:
            return layout.record(values)
        if into is tuple:
            return tuple(values)
        return dict(zip(layout.names, values)) if into is dict else into(*values)

    return RecordReader(layout, read)


def check_names(layout: RecordLayout, names: Collection[str]) -> None:
    """Refuses names that are no members.

    Raises:
        RecordError: names the first.
    """
    for name in names:
        if name not in layout.names:
            known = ", ".join(map(printable, layout.names))
            raise RecordError(
                f"{layout.kind} {printable(layout.name)}: no member `{printable(name)}`; there are {known}"
            )
