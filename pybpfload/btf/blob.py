"""BTF as a blob: an index of offsets, types decoded when they are asked for.

The BTF of a kernel has about 126,000 types in 5 MB, and a CO-RE object wants a few dozen of them. So
nothing is decoded up front. One pass notes where each type begins (about 25 ms; it cannot be shorter,
because the length of a record depends on its contents), and not even that happens before the first
lookup. Names are found by searching the bytes, never by a dictionary of all names.

Invariants:

- Every BTF field is a 32-bit word, so the type section is kept as words in the host's byte order;
  BTF of the other order is swapped once, when it is read.
- All lengths and offsets are checked against the blob; `BtfError` is the only error that leaves.

Source: include/uapi/linux/btf.h; Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

from pybpfload.btf import types as t
from pybpfload.btf.decode import ELEMENT_WORDS, FIXED_WORDS, decode
from pybpfload.btf.types import Kind, Type
from pybpfload.closest import closest
from pybpfload.errors import BtfError, printable

__all__ = ["Btf", "essential_name"]

MAGIC = 0xEB9F
MAX_DEPTH = 32  # of modifiers, arrays and typedefs, as in libbpf and the kernel
HEADER_SIZE = 24
LAYOUT_HEADER_SIZE = 32
MAX_LAYOUT = 128 * 4  # bytes: no more kinds can be told apart
MAX_NAME = 4096  # longer ones have no flavour; a kernel takes 512
BEFORE_FLAVOUR = re.compile(r"(?s:.*)[^_](?=___[^_])")
OVERLAP = 16  # how much longer than their section all strings may be: those that share tails count each
MAX_PLACES = 1024  # of one name among the strings
SMALL = 1 << 20  # bytes of strings; a kernel has more
MAX_SEARCHES = 4096  # for names, by scanning those of all types; who wants more gets a dictionary
NO_LENGTH = 1 << 40  # an unknown kind: steps beyond the end of any blob


def essential_name(name: str) -> str:
    """The name without its flavour: what stands before the last ``___``, as libbpf has it."""
    if "___" not in name or len(name) > MAX_NAME:
        return name
    found = BEFORE_FLAVOUR.match(name)
    return found[0] if found else name


class Btf:
    """The types of an object, a kernel or (with `base`) a kernel module.

    Args:
        data: the whole blob, either byte order.
        base: the BTF that this one continues; its ids and strings come first.
        name: how errors call it.

    Raises:
        BtfError: the header is malformed. Types are checked when they are decoded.
    """

    def __init__(self, data: bytes | bytearray | memoryview, *, base: Btf | None = None, name: str = "BTF") -> None:
        self.name = name
        self.base = base
        data = bytes(data)
        if len(data) < HEADER_SIZE:
            raise BtfError(f"{name}: {len(data)} bytes are too short for a BTF header of {HEADER_SIZE}")
        order = {b"\x9f\xeb": "<", b"\xeb\x9f": ">"}.get(data[:2])
        if order is None:
            raise BtfError(f"{name}: bad BTF magic {data[:2].hex()}, expected {MAGIC:x}")
        self.big_endian = order == ">"
        version, self.flags, header, type_off, type_len, str_off, str_len = struct.unpack_from(
            order + "BBIIIII", data, 2
        )
        if version != 1:
            raise BtfError(f"{name}: BTF version {version}, expected 1")
        if not HEADER_SIZE <= header <= len(data):
            raise BtfError(f"{name}: BTF header length {header} is not within {HEADER_SIZE}..{len(data)}")
        layout_off = layout_len = 0
        if header >= LAYOUT_HEADER_SIZE:
            layout_off, layout_len = struct.unpack_from(order + "II", data, HEADER_SIZE)
            if any(data[LAYOUT_HEADER_SIZE:header]):
                raise BtfError(f"{name}: BTF header has unknown non-zero fields")
        for what, off, length in (
            ("type", type_off, type_len), ("string", str_off, str_len), ("layout", layout_off, layout_len),
        ):  # fmt: skip
            if header + off + length > len(data):
                raise BtfError(f"{name}: {what} section {off}+{length} ends beyond the {len(data)} bytes of BTF")
        if type_off % 4 or type_len % 4:
            raise BtfError(f"{name}: type section {type_off}+{type_len} is not a whole number of words")

        self._words = memoryview(data)[header + type_off : header + type_off + type_len].cast("I")
        if order != ("<" if sys.byteorder == "little" else ">"):
            swapped = array("I", self._words)
            swapped.byteswap()
            self._words = memoryview(swapped)
        self._data = data
        self._str_start: int = header + str_off
        self._str_end: int = self._str_start + str_len
        # The strings of a module continue those of the kernel: only the first blob begins with the empty one.
        if str_len and (data[self._str_end - 1] or (base is None and data[self._str_start])):
            raise BtfError(
                f"{name}: string section neither begins nor ends with NUL"
                + ("; is it a module's? Then it needs a base" if not data[self._str_end - 1] else "")
            )
        if not str_len and base is None:
            raise BtfError(f"{name}: string section is empty")
        self._layout = [
            struct.unpack_from(order + "BBH", data, header + layout_off + i)
            for i in range(0, min(layout_len, MAX_LAYOUT) - 3, 4)
        ]
        self._first_id = len(base) if base else 1
        self._string_base = base.string_size if base else 0
        self._offsets: array[int] | None = None
        self._names: bytes = b""
        self._by_name: dict[int, list[int]] = {}
        self._searches = 0
        self._cache: dict[int, Type] = {}
        self.replaced: dict[int, Type] = {}  # those that are not as they are stored
        self._strings: dict[int, str] = {}
        self._string_budget = OVERLAP * str_len
        self._sizes: dict[int, int] = {}
        self.layouts: dict[int, Any] = {}  # codecs of structs and arrays by type id: filled by codec_of()
        self.layout_work = 0  # members that these have
        self._essential: dict[str, list[int]] = {}
        self._flavours: dict[str, list[int]] | None = None

    def __repr__(self) -> str:
        return f"<Btf {self.name}>"

    def __len__(self) -> int:
        """The number of types with void: ids are 0 .. len - 1."""
        return self._first_id + len(self._index())

    def __iter__(self) -> Iterator[Type]:
        """Its own types in order of id, without void and without the base's."""
        return map(self.type, range(self._first_id, len(self)))

    @property
    def first_id(self) -> int:
        """The id of its first own type."""
        return self._first_id

    @property
    def string_size(self) -> int:
        """Bytes of strings, the base's included."""
        return self._string_base + (self._str_end - self._str_start)

    @property
    def data(self) -> bytes:
        """The whole blob, as it was given."""
        return self._data

    @property
    def string_section(self) -> bytes:
        """Its own strings as they are stored."""
        return bytes(self._data[self._str_start : self._str_end])

    def _index(self) -> array[int]:
        """The word offset of each type. Built once."""
        if self._offsets is None:
            fixed, element = [NO_LENGTH] * 128, [0] * 128
            for kind, (info_size, element_size, _flags) in enumerate(self._layout[1:128], 1):
                fixed[kind], element[kind] = 3 + info_size // 4, element_size // 4
            for known in list(Kind)[1:]:
                fixed[known], element[known] = 3 + FIXED_WORDS.get(known, 0), ELEMENT_WORDS.get(known, 0)
            words, offsets, at = self._words, array("I"), 0
            end = len(words)
            append = offsets.append
            try:
                while at < end:
                    append(at)
                    info = words[at + 1]
                    kind = info >> 24 & 0x7F
                    at += fixed[kind] + element[kind] * (info & 0xFFFFFF)
            except IndexError:
                at = end + 1
            if at != end:
                last = len(offsets) - 1 + self._first_id
                what = f"unknown kind {kind}" if at >= NO_LENGTH else "a record that ends beyond the type section"
                raise BtfError(f"{self.name}: type {last}: {what}")
            self._offsets = offsets
        return self._offsets

    def string(self, offset: int) -> str:
        """The string at an offset; malformed UTF-8 is escaped."""
        found = self._strings.get(offset)
        if found is not None:
            return found
        if offset < self._string_base:
            assert self.base is not None
            return self.base.string(offset)
        start = self._str_start + offset - self._string_base
        end = self._data.find(b"\0", start, self._str_end)
        if end < 0:
            raise BtfError(f"{self.name}: string offset {offset} is beyond the {self.string_size} bytes of strings")
        self._string_budget -= end - start
        if self._string_budget < 0:
            # Each byte of a long string may begin a string of its own: together they would take its square.
            raise BtfError(f"{self.name}: strings share too much: they are {OVERLAP} times as long as their section")
        found = self._strings[offset] = self._data[start:end].decode("utf-8", "backslashreplace")
        return found

    def type(self, type_id: int) -> Type:
        """The type of an id.

        Raises:
            BtfError: there is no such type, or it is malformed.
        """
        found = self._cache.get(type_id)
        if found is None:
            if type_id < self._first_id:
                if type_id == 0:
                    return t.Void()
                if self.base is None:
                    raise BtfError(f"{self.name}: type id {type_id} is negative")
                return self.base.type(type_id)
            index = self._index()
            if type_id - self._first_id >= len(index):
                raise BtfError(f"{self.name}: type id {type_id} is not below {len(self)}")
            found = self._cache[type_id] = decode(self._words, index[type_id - self._first_id], type_id, self.string)
        return found

    def replace(self, found: Type) -> None:
        """Put a corrected type in the place of the one with its id."""
        self._cache[found.id] = self.replaced[found.id] = found

    def skip(self, type_id: int, *, typedefs: bool = True) -> Type:
        """The type below const, volatile, restrict, type tags and (unless told not to) typedefs."""
        found = self.type(type_id)
        for _ in range(MAX_DEPTH):
            if isinstance(found, (t.Const, t.TypeTag)) or (typedefs and isinstance(found, t.Typedef)):
                found = self.type(found.type)
            else:
                return found
        raise BtfError(f"{self.name}: type id {type_id}: more than {MAX_DEPTH} modifiers in a row")

    def size_of(self, type_id: int) -> int:
        """The size in bytes; pointers have 8.

        Raises:
            BtfError: the type has no size (void, a function), or recursion is too deep.
        """
        size = self._sizes.get(type_id)
        if size is None:
            size = self._sizes[type_id] = self._size_of(type_id, MAX_DEPTH)
        return size

    def _size_of(self, type_id: int, depth: int) -> int:
        found, count = self.skip(type_id), 1
        while isinstance(found, (t.Array, t.Var)):
            if isinstance(found, t.Array):
                count *= found.nelems
            depth -= 1
            if depth < 0 or count >= 1 << 32:
                raise BtfError(f"{self.name}: type id {type_id} is nested too deep or too large")
            found = self.skip(found.type)
        if isinstance(found, (t.Int, t.Composite, t.Enum, t.Float, t.Datasec)):
            size = count * found.size
        elif isinstance(found, t.Ptr):
            size = count * 8
        else:
            raise BtfError(f"{self.name}: type id {type_id} ({self.describe(type_id)}) has no size")
        if size >= 1 << 32:
            raise BtfError(f"{self.name}: type id {type_id} is {size} bytes large")
        return size

    def describe(self, type_id: int) -> str:
        """The type in a few words: ``struct task_struct``."""
        found = self.type(type_id)
        return f"{found.kind.name.lower()} {printable(found.name) or '(anonymous)'}"

    def ids(self, name: str) -> list[int]:
        """The ids of all types of that name, in order; the base's first."""
        found = self.base.ids(name) if self.base else []
        return found + self._own_ids(self._name_offsets(name))

    def _name_offsets(self, name: str) -> list[int]:
        """Where the name stands, as offsets that a type of this blob can use."""
        raw, offsets = name.encode("utf-8", "surrogateescape") + b"\0", []
        if not name or b"\0" in raw[:-1]:
            return []
        level: Btf | None = self
        while level is not None:
            # Producers store a string once, those of kernels at least: in what is smaller, it may stand there again,
            # also as the tail of a longer one.
            start, end = level._str_start, level._str_end
            if end - start < SMALL:
                found = level._find_all(raw)
            else:
                at = level._data.find(b"\0" + raw, start, end)
                at = at + 1 if at >= 0 else level._data.find(raw, start, end)
                found = [at] if at >= 0 else []
            offsets += [at - start + level._string_base for at in found]
            level = level.base
        return offsets

    def _find_all(self, raw: bytes) -> list[int]:
        """Where bytes stand among the strings."""
        found: list[int] = []
        at = self._data.find(raw, self._str_start, self._str_end)
        while at >= 0 and len(found) < MAX_PLACES:
            found.append(at)
            at = self._data.find(raw, at + 1, self._str_end)
        return found

    def _own_ids(self, name_offsets: list[int]) -> list[int]:
        if not name_offsets:
            return []
        if not self._names:
            self._names = array("I", map(self._words.__getitem__, self._index())).tobytes()
        self._searches += len(name_offsets)
        found: list[int] = []
        if self._searches > MAX_SEARCHES:
            if not self._by_name:
                for i, offset in enumerate(memoryview(self._names).cast("I"), self._first_id):
                    self._by_name.setdefault(offset, []).append(i)
            for offset in name_offsets:
                found += self._by_name.get(offset, ())
            return sorted(found)
        for offset in name_offsets:
            needle = struct.pack("=I", offset)
            at = self._names.find(needle)
            while at >= 0:
                self._searches += 1
                if at % 4 == 0:  # otherwise: half of two neighbours
                    found.append(at // 4 + self._first_id)
                at = self._names.find(needle, at + 1)
        return sorted(found)

    def essential_ids(self, name: str) -> list[int]:
        """The ids of this blob's own types whose name without its flavour is `name`."""
        found = self._essential.get(name)
        return self._essential.setdefault(name, self._find_essential(name)) if found is None else found

    def _find_essential(self, name: str) -> list[int]:
        if self._flavours is None:
            self._flavours = {}
            data, first, last = self._data, self._str_start, self._str_end
            at = data.find(b"___", first, last)
            while at >= 0:
                offset = max(first, data.rfind(b"\0", first, at) + 1) - first + self._string_base
                text = self.string(offset)
                if essential_name(text) != text:
                    self._flavours.setdefault(essential_name(text), []).append(offset)
                at = data.find(b"___", data.find(b"\0", at, last), last)
        return self._own_ids(self._name_offsets(name) + self._flavours.get(name, []))

    def find(self, name: str, *kinds: Kind) -> Type:
        """The first type of that name and, when given, of one of those kinds.

        Raises:
            BtfError: there is none; says what comes closest.
        """
        for type_id in self.ids(name):
            found = self.type(type_id)
            if not kinds or found.kind in kinds:
                return found
        what = " or ".join(k.name.lower() for k in kinds) or "type"
        message = f"{self.name}: no {what} `{printable(name)}`"
        close = closest(name, self.names(*kinds)) if len(self) < 20_000 else ""
        raise BtfError(message + (f"; closest is `{printable(close)}`" if close else ""))

    def names(self, *kinds: Kind) -> list[str]:
        """The names of its own types of these kinds; decodes every type, so it takes its time."""
        return [found.name for found in self if found.name and (not kinds or found.kind in kinds)]

    def kinds(self) -> bytes:
        """The kind of each own type, by number, in order of id."""
        return bytes([self._words[at + 1] >> 24 & 0x7F for at in self._index()])

    def stored(self, start: int, end: int) -> bytes:
        """The records of own types from one id up to another, as they are stored, in the host's byte order."""
        places = [*self._index()[start - self._first_id : end - self._first_id + 1], len(self._words)]
        return self._words[places[0] : places[end - start]].tobytes() if end > start else b""

    def of_kind(self, kind: Kind) -> Iterator[Type]:
        """Its own types of a kind, in order of id; the others are not decoded."""
        kinds, at = self.kinds(), -1
        while (at := kinds.find(kind, at + 1)) >= 0:
            yield self.type(self._first_id + at)

    def enum_values(self, name: str) -> dict[str, int]:
        """The enumerators of an enum: name to value."""
        found = self.find(name, Kind.ENUM, Kind.ENUM64)
        assert isinstance(found, t.Enum)
        return dict(found.values)

    def decl_tags(self) -> list[tuple[int, int, str]]:
        """All declaration tags as (type id, component or -1, text)."""
        return [(x.type, x.component, x.name) for x in self.of_kind(Kind.DECL_TAG) if isinstance(x, t.DeclTag)]
