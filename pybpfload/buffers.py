"""One source, two kinds of buffers: a ring buffer where the kernel has them, else a perf buffer.

C code that includes ``event_buffer.bpf.h`` and says ``EVENT_BUFFER(events, struct event, 1 << 20)`` has a
ring buffer `events` and a constant `events__ringbuf`, which is true. A kernel without ring buffers (before
5.8) gets a perf event array in its place and a constant that is false; the verifier then never looks at the
calls that this kernel does not know. To have the perf buffer anyway::

    spec.variables["events__ringbuf"] = False

The same object counts in `events__lost`, on each CPU, what could not be sent, so that losses are known with
either kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from pybpfload.errors import ObjectError, printable
from pybpfload.events import Decode, EventReader, T
from pybpfload.features import has
from pybpfload.maps import Map
from pybpfload.perfbuf import PerfReader
from pybpfload.ringbuf import RingReader
from pybpfload.spec import MapSpec, ObjectParts
from pybpfload.uapi import MapType

__all__ = ["LOST", "choose_buffers", "open_events"]

SWITCH, LOST = "__ringbuf", "__lost"


def choose_buffers(spec: ObjectParts, shared: Mapping[str, Map]) -> None:
    """Settle which kind of buffer each EVENT_BUFFER of an object is, and tell its programs.

    Args:
        shared: maps that are there already: what they are decides.
    """
    for map_spec in spec.maps.values():
        switch = map_spec.name + SWITCH
        if switch not in spec.variables:
            continue
        existing = shared.get(map_spec.name)
        if existing is not None:
            wanted = existing.type is MapType.RINGBUF
        else:
            wanted = map_spec.type is MapType.RINGBUF and bool(spec.variables[switch]) and has("ringbuf")
        spec.variables[switch] = wanted
        if not wanted and map_spec.type is MapType.RINGBUF:
            make_perf_array(map_spec)


def make_perf_array(spec: MapSpec) -> None:
    """Turn the spec of a ring buffer into that of a perf event array with an entry for each CPU."""
    spec.type = MapType.PERF_EVENT_ARRAY
    spec.key_size = spec.value_size = 4
    spec.max_entries = spec.key_type = spec.value_type = spec.flags = 0


def open_events(
    events: Map, decode: Decode[T], *, lost: Callable[[], int] | None = None, **options: Any
) -> EventReader[T]:
    """The reader of a ring buffer or perf event array.

    Args:
        lost: how many records found no room, if somebody counts them.
        options: of `PerfReader`; a ring buffer has none.

    Raises:
        ObjectError: the map is neither.
    """
    if events.type is MapType.RINGBUF:
        return RingReader(events, decode, lost=lost)
    if events.type is MapType.PERF_EVENT_ARRAY:
        return PerfReader(events, decode, lost=lost, **options)
    raise ObjectError(f"map `{printable(events.name)}` is {events.type.name}, expected RINGBUF or PERF_EVENT_ARRAY")
