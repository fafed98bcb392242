"""The events of an object's ring buffers as lines of JSON, by BTF alone."""

from __future__ import annotations

import json
import math
import selectors
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, TextIO

from pybpfload.btf.layout import Codec, Field, Record, RecordLayout, codec_of
from pybpfload.errors import BpfError, RecordError
from pybpfload.maps import Map
from pybpfload.objectspec import ObjectSpec
from pybpfload.ringbuf import RingReader
from pybpfload.uapi import MapType

__all__ = ["rings_of", "stream"]

WAIT_S = 0.2
BATCH = 4096
Decode = Callable[[memoryview, int, int], dict[str, Any]]


def rings_of(spec: ObjectSpec) -> dict[str, Codec | None]:
    """The ring buffers of an object, each with the type of its records, or None when nobody says.

    That is what RECORD_TYPE names; else the type of the map's values.
    """
    found: dict[str, Codec | None] = {}
    for name, one in spec.maps.items():
        if one.type is MapType.RINGBUF:
            codec: Codec | None = spec.records.get(name)
            if codec is None and spec.btf is not None and one.value_type:
                try:
                    codec = codec_of(spec.btf, one.value_type)
                except BpfError:
                    codec = None
            found[name] = codec
    return found


def stream(spec: ObjectSpec, maps: Mapping[str, Map], out: TextIO, duration_s: float | None) -> int:
    """Write each event of all ring buffers as one line, until the time is over or a signal says so.

    Returns:
        How many events there were.
    """
    end = math.inf if duration_s is None else time.monotonic() + duration_s
    total = 0
    with ExitStack() as stack:
        stopped = stack.enter_context(_signals())
        selector = stack.enter_context(selectors.DefaultSelector())
        for name, codec in rings_of(spec).items():
            if name in maps:
                ring = stack.enter_context(RingReader(maps[name], _decoder(name, codec)))
                selector.register(ring.fileno(), selectors.EVENT_READ, ring)
        while not stopped and time.monotonic() < end:
            ready = selector.select(min(WAIT_S, max(0.0, end - time.monotonic())))
            total += _drain([key.data for key, _ in ready], out)
        # What came before the end counts.
        total += _drain([key.data for key in selector.get_map().values()], out)
    return total


def _drain(rings: list[RingReader[dict[str, Any]]], out: TextIO) -> int:
    total = 0
    for ring in rings:
        events = ring.poll(0.0, BATCH)
        out.writelines(f"{json.dumps(event)}\n" for event in events)
        total += len(events)
    if total:
        out.flush()
    return total


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that is not empty any more once SIGINT or SIGTERM came."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: seen.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _decoder(name: str, codec: Codec | None) -> Decode:
    """From a record to what is shown of it. What does not fit its type is shown in hex."""
    title = f"{codec.kind} {codec.name}".strip() if isinstance(codec, RecordLayout) else codec.kind if codec else None

    def decode(buffer: memoryview, offset: int, size: int) -> dict[str, Any]:
        event: dict[str, Any] = {"map": name, "type": title}
        try:
            if isinstance(codec, RecordLayout):
                return {**event, "data": _members(codec, codec.decode(buffer, offset, size))}
            if codec is not None and size >= codec.size:
                value = codec.unpack_value(bytes(buffer[offset : offset + codec.size]))
                return {**event, "data": _plain(value, codec.kind)}
        except RecordError:
            pass
        return {"map": name, "type": None, "size": size, "hex": bytes(buffer[offset : offset + size]).hex()}

    return decode


def _members(layout: RecordLayout, record: Record) -> dict[str, Any]:
    """The members of a struct; of a union, those for which the record is long enough.

    A union whose first member has an enum that tells which of the others is meant (``KIND_CALL`` is the
    member ``call``) is just that member.
    """
    found = {
        field.name: _member(field, value)
        for field, value in zip(layout.fields, tuple(record))
        if value is not None
    }  # fmt: skip
    if layout.kind == "union" and found:
        first = layout.fields[0]
        told = found.get(first.name)
        if first.layout is not None and isinstance(told, dict):
            words = [told.get(field.name) for field in first.layout.fields if field.enum is not None]
        else:
            words = [told] if first.enum is not None else []
        for word in words:
            meant = [name for name in found if isinstance(word, str) and word.lower().endswith("_" + name.lower())]
            if meant:
                longest = max(meant, key=len)
                return {longest: found[longest]}
    return found


def _member(field: Field, value: Any) -> Any:
    if field.layout is not None and isinstance(value, Record):
        return _members(field.layout, value)
    if field.enum is not None and isinstance(value, int):
        return field.enum.get(value, value)
    return _plain(value, field.kind)


def _plain(value: Any, kind: str) -> Any:
    """A value as JSON has it: text of arrays of char, hex of other bytes."""
    if isinstance(value, Record):
        return {name: _plain(part, "chars") for name, part in zip(value.names, tuple(value))}
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace") if kind == "chars" else value.hex()
    if isinstance(value, (tuple, list)):
        return [_plain(part, kind) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
