"""Codecs: the values of one type, from bytes and back."""

from __future__ import annotations

import struct
from typing import Any, Callable, Literal, Union

from pybpfload.errors import RecordError

__all__ = ["Buffer", "Codec", "array", "bitfield", "chars"]

Buffer = Union[bytes, bytearray, memoryview]


class Codec:
    """One type's values.

    Attributes:
        kind: int, uint, bool, float, chars, enum, struct, union, array, ptr or bytes.
        size: in bytes.
        code: the struct module's code for the raw value.
        element, count: of an array.
        bits: of a bitfield: its first bit, counted from bit 0 of the first byte, its width, whether it has a sign.
        weight: of how many single values its value consists: a measure of the work.
    """

    weight = 1

    def __init__(
        self,
        kind: str,
        size: int,
        code: str,
        order: str,
        read: Callable[[Any], Any] | None = None,
        write: Callable[[Any], Any] | None = None,
    ) -> None:
        self.kind, self.size, self.code = kind, size, code
        self.read, self.write = read, write
        self.element: Codec | None = None
        self.count = 0
        self.bits: tuple[int, int, bool] | None = None
        self._struct = struct.Struct(order + code)

    def unpack_value(self, data: Buffer) -> Any:
        """The value of exactly `size` bytes."""
        if len(data) != self.size:
            raise RecordError(f"{len(data)} bytes, expected {self.size}")
        (raw,) = self._struct.unpack(data)
        return self.read(raw) if self.read else raw

    def pack_value(self, value: Any) -> bytes:
        """The bytes of a value; bytes of the right size go as they are."""
        if isinstance(value, (bytes, bytearray, memoryview)) and (len(value) == self.size or self.kind != "chars"):
            if len(value) != self.size:
                raise RecordError(f"{len(value)} bytes, expected {self.size}")
            return bytes(value)
        try:
            return self._struct.pack(self.write(value) if self.write else value)
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"{value!r} is no {self.kind} of {self.size} bytes: {error}") from error


def bitfield(big_endian: bool, start: int, width: int, signed: bool) -> Codec:
    """An integer of `width` bits, from bit `start` of its first byte on."""
    size = (start + width + 7) // 8
    order: Literal["big", "little"] = "big" if big_endian else "little"
    shift = size * 8 - start - width if big_endian else start
    mask = (1 << width) - 1

    def read(raw: bytes) -> int:
        value = int.from_bytes(raw, order) >> shift & mask
        return value - (1 << width) if signed and value << 1 >> width else value

    def write(value: int) -> bytes:
        if not -(1 << (width - 1) if signed else 0) <= value <= (mask >> 1 if signed else mask):
            raise ValueError(f"does not fit in {width} bits")
        return ((value & mask) << shift).to_bytes(size, order)

    codec = Codec("int" if signed else "uint", size, f"{size}s", "<", read, write)
    codec.bits = (start, width, signed)
    return codec


def _text(value: Any) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def chars(size: int, order: str) -> Codec:
    """An array of char: bytes without the NULs at its end; takes str, too."""

    def write(value: Any) -> bytes:
        raw = _text(value)
        if len(raw) > size:
            raise ValueError(f"{len(raw)} bytes do not fit")
        return raw

    return Codec("chars", size, f"{size}s", order, lambda raw: raw.rstrip(b"\0"), write)


def array(element: Codec, count: int, order: str) -> Codec:
    """An array: a tuple of its elements' values."""
    size = element.size * count
    plain = struct.Struct(f"{order}{count}{element.code}") if element.read is None and len(element.code) == 1 else None

    def read(raw: bytes) -> tuple[Any, ...]:
        if plain:
            return plain.unpack(raw)
        return tuple([element.unpack_value(raw[i : i + element.size]) for i in range(0, size, element.size or 1)])

    def write(values: Any) -> bytes:
        if len(values) != count:
            raise ValueError(f"{len(values)} elements, expected {count}")
        return b"".join([element.pack_value(v) for v in values])

    codec = Codec("array", size, f"{size}s", order, read, write)
    codec.element, codec.count = element, count
    codec.weight = 1 + count * element.weight
    return codec
