"""From a BTF type to a decoder and encoder of its values.

A `Codec` turns the bytes of one type into a Python value and back: integers, ``bytes`` for arrays of
char, tuples for other arrays, records for structs. A `RecordLayout` is the codec of a struct or union.
How its records are taken apart is worked out when the first is decoded: see `pybpfload.btf.record`.

Records may end early: when the last member is an array of char, only its used bytes need be there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Callable, NamedTuple

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.btf.codec import Buffer, Codec, array, bitfield, chars
from pybpfload.btf.record import Record, RecordReader, check_names, loop_reader, make_reader
from pybpfload.btf.types import Kind
from pybpfload.errors import BtfError, RecordError, printable

__all__ = ["Codec", "Field", "Record", "RecordLayout", "RecordReader", "codec_of", "layout_of"]

MAX_DEPTH = 32
MAX_FIELDS = 1 << 16
FREE_FIELDS = 1 << 14  # that the structs of any BTF may have; larger ones may have more
MAX_INT = 16  # bytes
MAX_WIDTH = 128  # bits
INT_CODES = {
    (1, 0): "B",
    (2, 0): "H",
    (4, 0): "I",
    (8, 0): "Q",
    (1, 1): "b",
    (2, 1): "h",
    (4, 1): "i",
    (8, 1): "q",
}


class Field(NamedTuple):
    """A member of a record, those of anonymous members included.

    Attributes:
        offset: in bytes from the start of the record.
        size: in bytes; for a bitfield, of the bytes that hold it.
        type_name: the outermost typedef's name, or "".
        kind: see `Codec.kind`, or "bitfield".
        layout: of a struct or union.
        enum: value to name, of an enum.
    """

    name: str
    offset: int
    size: int
    type_name: str
    kind: str
    type_id: int
    codec: Codec
    layout: RecordLayout | None = None
    enum: dict[int, str] | None = None


class RecordLayout(Codec):
    """The layout of a struct or union, with its decoder.

    Attributes:
        name: of the type, or "".
        size: in bytes, of a whole record.
        min_size: how short a record may be: where the last member begins, when that is an array of char.
        fields: in order of offset as declared; the members of anonymous members stand in their place.
        has_tail: whether the last member may be short. tail_size: its size if so, else 0.
    """

    def __init__(self, btf: Btf, composite: t.Composite, depth: int = 0) -> None:
        order = ">" if btf.big_endian else "<"
        is_union = composite.kind is Kind.UNION
        super().__init__(
            "union" if is_union else "struct", composite.size, f"{composite.size}s", order,
            read=lambda raw: self.decode(raw, 0, len(raw)), write=self._pack,
        )  # fmt: skip
        self.name = composite.name
        self.btf = btf
        self.type_id = composite.id
        self.fields: tuple[Field, ...] = tuple(_fields(btf, composite, 0, depth))
        where = f"{btf.name}: {btf.describe(composite.id)}"
        self.names = tuple([f.name for f in self.fields])
        self._by_name = {f.name: f for f in self.fields}
        if len(self._by_name) != len(self.fields):
            raise BtfError(f"{where} has two members of one name")
        self.weight = 1 + sum([f.codec.weight for f in self.fields])
        for f in self.fields:
            if f.offset + f.size > self.size:
                raise BtfError(
                    f"{where}: member `{printable(f.name)}` of {f.size} bytes at {f.offset} does not fit in {self.size}"
                )
        self.min_size = self.size
        if is_union:
            self.min_size = min([self.size, *(_min_size(f) for f in self.fields)])
        last = self.fields[-1] if self.fields else None
        ends = [f.offset + f.size for f in self.fields[:-1]]
        if last and last.kind == "chars" and not is_union and last.offset >= max(ends, default=0):
            self.min_size = last.offset
        self.has_tail = not is_union and self.min_size != self.size
        self.tail_size = last.size if last and self.has_tail else 0
        self._order = order
        attributes: dict[str, Any] = {
            name: property(itemgetter(i))
            for i, name in enumerate(self.names)
            if name.isidentifier() and not name.startswith("__") and name not in ("names", "asdict")
        }
        self.record = type(self.name or "Record", (Record,), {**attributes, "names": self.names, "__slots__": ()})

    def member(self, name: str) -> RecordLayout:
        """The layout of a member that is itself a struct or union.

        Raises:
            BtfError: there is no such member, or it has no members.
        """
        found = self._by_name.get(name)
        if found is None or found.layout is None:
            raise BtfError(
                f"{self.btf.name}: {self.kind} {printable(self.name)}: "
                f"{'no member' if found is None else 'no struct or union as member'} `{printable(name)}`"
            )
        return found.layout

    def __getitem__(self, name: str) -> Field:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def reader(
        self,
        convert: Mapping[str, Callable[[Any], Any]] | None = None,
        *,
        raw: Collection[str] = (),
        into: Callable[..., Any] | None = None,
        cut: bool = False,
    ) -> RecordReader[Any]:
        """A reader of records, made to measure; make it once.

        Args:
            convert: by member: what is called with its value; the result takes its place.
            raw: arrays of char of which all bytes are wanted, also the NULs at their end.
            into: what a record becomes: a `Record` when None, or ``tuple``, or ``dict``; or any function, called
                with one argument for each member, in order.
            cut: a short last array of char ends at its first NUL. For perf buffers, where up to seven bytes of
                something else follow it.

        Raises:
            RecordError: there is no such member.
        """
        check_names(self, [*(convert or ()), *raw])
        if self.kind == "union":
            return loop_reader(self, convert or {}, raw, into, cut)
        return make_reader(self, self._order, convert or {}, raw, into, cut)

    @cached_property
    def unpack(self) -> Callable[..., tuple[Any, ...]]:
        """``unpack(buffer, offset, size)``: one value for each field, copied out of `buffer`.

        Of a union, a member that would not fit in a short record is None. `size` is the record's; the rest of a
        last array of char may be missing.

        Raises:
            RecordError: the record is too short, or goes beyond the buffer.
        """
        return self.reader(into=tuple).read

    @cached_property
    def decode(self) -> Callable[..., Any]:
        """``decode(buffer, offset=0, size=None)``: as `unpack`, with names: ``record.pid``."""
        return self._records.read

    @cached_property
    def _records(self) -> RecordReader[Any]:
        return self.reader()

    def decode_many(self, buffer: Buffer, count: int | None = None, *, stride: int = 0) -> list[Any]:
        """The values of records that follow each other in a buffer, `stride` bytes apart or without a gap."""
        stride = stride or self.size
        if count is None:
            count = len(buffer) // stride if stride else 0
        return self._records.read_many(buffer, 0, count, stride=stride)

    def refuse(self, buffer: Buffer, offset: int, size: int) -> RecordError:
        """The error of a record that is too short or too long."""
        return RecordError(
            f"record of {size} bytes at {offset} of {len(buffer)}: "
            f"{self.kind} {printable(self.name)} has {self.min_size}..{self.size}"
        )

    def part(self, f: Field, buffer: Buffer, offset: int, size: int, *, raw: bool = False, cut: bool = False) -> Any:
        """The value of one field of a record, or None when the record ends before it does."""
        is_tail = self.has_tail and f is self.fields[-1]
        start, end = offset + f.offset, offset + min(size, f.offset + f.size)
        if not is_tail and size < _min_size(f):
            return None
        if f.layout:
            return f.layout.decode(buffer, start, end - start)
        data = bytes(buffer[start:end])
        if f.kind != "chars":
            return f.codec.unpack_value(data)
        return data if raw else data.partition(b"\0")[0] if cut and is_tail else data.rstrip(b"\0")

    def _pack(self, value: Any) -> bytes:
        if not isinstance(value, Mapping):
            if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or len(value) != len(self.fields):
                raise TypeError(f"expected a mapping with {', '.join(self.names)}")
            value = dict(zip(self.names, value))
        data = bytearray(self.size)
        for name, part in value.items():
            field = self._by_name.get(name)
            if field is None:
                raise TypeError(f"no member `{name}`; there are {', '.join(self.names)}")
            raw = field.codec.pack_value(part)
            for i, byte in enumerate(raw):  # bitfields share bytes
                data[field.offset + i] |= byte
        return bytes(data)


def _min_size(field: Field) -> int:
    return field.offset + (field.layout.min_size if field.layout else field.size)


def _fields(btf: Btf, composite: t.Composite, base_bits: int, depth: int) -> Iterator[Field]:
    if depth > MAX_DEPTH:
        raise BtfError(f"{btf.name}: {btf.describe(composite.id)} is nested deeper than {MAX_DEPTH}")
    count = 0
    for member in composite.members:
        btf.layout_work += 1
        if btf.layout_work > FREE_FIELDS + len(btf.data) // 2:
            # Structs without names that contain each other twice or more can ask for any number of members.
            raise BtfError(f"{btf.name}: its structs have more members than BTF of this size may")
        bits = base_bits + member.bit_offset
        inner = btf.skip(member.type)
        if not member.name and isinstance(inner, t.Composite):
            found = _fields(btf, inner, bits, depth + 1)
        elif not member.name:
            continue
        else:
            found = iter((_field(btf, member, bits, depth),))
        for field in found:
            count += 1
            if count > MAX_FIELDS:
                raise BtfError(f"{btf.name}: {btf.describe(composite.id)} has more than {MAX_FIELDS} members")
            yield field


def _field(btf: Btf, member: t.Member, bits: int, depth: int) -> Field:
    codec = codec_of(btf, member.type, depth + 1)
    outer = btf.type(member.type)
    while isinstance(outer, (t.Const, t.TypeTag)):
        outer = btf.type(outer.type)
    type_name = outer.name if isinstance(outer, t.Typedef) else ""
    inner = btf.skip(member.type)
    enum = {e.value: e.name for e in inner.values} if isinstance(inner, t.Enum) else None
    plain_int = isinstance(inner, t.Int) and inner.bits == inner.size * 8 and not inner.offset
    if member.bitfield_size or bits % 8 or (isinstance(inner, t.Int) and not plain_int):
        width = member.bitfield_size or (inner.bits if isinstance(inner, t.Int) else codec.size * 8)
        shift = inner.offset if isinstance(inner, t.Int) else 0
        signed = getattr(inner, "signed", False)
        start = (bits + shift) // 8
        if not 0 < width <= MAX_WIDTH:
            raise BtfError(f"{btf.name}: member `{printable(member.name)}` is a bitfield of {width} bits")
        codec = bitfield(btf.big_endian, (bits + shift) % 8, width, signed)
        return Field(member.name, start, codec.size, type_name, "bitfield", member.type, codec, None, enum)
    layout = codec if isinstance(codec, RecordLayout) else None
    return Field(member.name, bits // 8, codec.size, type_name, codec.kind, member.type, codec, layout, enum)


def codec_of(btf: Btf, type_id: int, depth: int = 0) -> Codec:
    """The codec of any type that has a size.

    Raises:
        BtfError: it has none, or is nested too deep.
    """
    inner = btf.skip(type_id)
    if isinstance(inner, t.Composite):
        return layout_of(btf, inner.id, depth)
    if isinstance(inner, t.Array):
        codec: Codec | None = btf.layouts.get(inner.id)
        if codec is None:
            codec = btf.layouts[inner.id] = _bounded(btf, inner.id, _array(btf, inner, depth))
        return codec
    return _plain(btf, inner)


def _as_bool(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError("expected True or False")
    return bool(value)


def _plain(btf: Btf, inner: t.Type) -> Codec:
    """The codec of what has no parts."""
    order = ">" if btf.big_endian else "<"
    size = btf.size_of(inner.id)
    if isinstance(inner, (t.Int, t.Enum)) and (size, 0) in INT_CODES:
        signed = bool(inner.signed)
        kind = "enum" if isinstance(inner, t.Enum) else "bool" if inner.is_bool else "int" if signed else "uint"
        code = "?" if kind == "bool" and size == 1 else INT_CODES[size, int(signed)]
        return Codec(kind, size, code, order, write=_as_bool if kind == "bool" else None)
    if isinstance(inner, t.Ptr):
        return Codec("ptr", 8, "Q", order)
    if isinstance(inner, t.Float) and size in (4, 8):
        return Codec("float", size, "f" if size == 4 else "d", order)
    if isinstance(inner, t.Int):
        if not 0 < size <= MAX_INT:
            raise BtfError(f"{btf.name}: {btf.describe(inner.id)} is an integer of {size} bytes")
        return bitfield(btf.big_endian, 0, size * 8, bool(inner.signed))
    return Codec("bytes", size, f"{size}s", order)


def _array(btf: Btf, inner: t.Array, depth: int) -> Codec:
    order = ">" if btf.big_endian else "<"
    size = btf.size_of(inner.id)
    element = btf.skip(inner.type)
    if isinstance(element, t.Int) and element.size == 1 and (element.is_char or element.name == "char"):
        return chars(size, order)
    return array(codec_of(btf, inner.type, depth + 1), inner.nelems, order)


def _bounded(btf: Btf, type_id: int, codec: Codec) -> Codec:
    """The codec, whose values do not take more work than their bytes are worth: unions share bytes."""
    if codec.weight > MAX_FIELDS + 8 * codec.size:
        raise BtfError(f"{btf.name}: {btf.describe(type_id)} consists of {codec.weight} values in {codec.size} bytes")
    return codec


def layout_of(btf: Btf, type_id: int, depth: int = 0) -> RecordLayout:
    """The layout of a struct or union; made once for each type of a `Btf`.

    Raises:
        BtfError: the type is neither, or is nested too deep.
    """
    inner = btf.skip(type_id)
    if not isinstance(inner, t.Composite):
        raise BtfError(f"{btf.name}: type id {type_id} ({btf.describe(type_id)}) is neither struct nor union")
    if depth > MAX_DEPTH:
        raise BtfError(f"{btf.name}: {btf.describe(type_id)} is nested deeper than {MAX_DEPTH}")
    layout: RecordLayout | None = btf.layouts.get(inner.id)
    if layout is None:
        layout = RecordLayout(btf, inner, depth)
        btf.layouts[inner.id] = _bounded(btf, inner.id, layout)
    return layout
