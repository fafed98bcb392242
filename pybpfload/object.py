"""An object in the kernel: its maps, programs and variables, and what to do with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any, Callable

from pybpfload.buffers import LOST, open_events
from pybpfload.errors import ObjectError, printable
from pybpfload.events import EventReader
from pybpfload.links import LinkSet, StructOpsLink, attach, attach_struct_ops
from pybpfload.maps import Map
from pybpfload.maps.variables import LiveVariables
from pybpfload.objectspec import ObjectSpec
from pybpfload.progs import Program
from pybpfload.relocations import Relocations
from pybpfload.ringbuf import RingReader
from pybpfload.uapi import MapType, ProgType
from pybpfload.userring import UserRing

__all__ = ["BpfObject"]


class BpfObject:
    """Maps and programs of one object in the kernel; closing it closes them all.

    Attributes:
        maps, programs: by name; programs whose spec says autoload = False are missing.
        variables: global variables, as they are in the kernel; those that are not const can be set.
        struct_ops: what to write into each struct_ops map to have it registered.
        relocations: how each CO-RE relocation was decided.
    """

    def __init__(self, spec: ObjectSpec) -> None:
        self.spec = spec
        self.maps: dict[str, Map] = {}
        self.programs: dict[str, Program] = {}
        self.variables = LiveVariables(spec.variables, self.maps)
        self.relocations = Relocations()
        self.struct_ops: dict[str, bytes] = {}
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"<BpfObject {printable(self.spec.name)}: {len(self.programs)} programs, {len(self.maps)} maps>"

    def attach_all(self) -> LinkSet:
        """Attach every program to what its SEC() name says, and every struct_ops map; all or none.

        Raises:
            AttachError: one could not be.
        """
        links = LinkSet()
        try:
            for program in self.programs.values():
                if program.spec.type is not ProgType.STRUCT_OPS:
                    links.add(attach(program))
            for name in self.struct_ops:
                links.add(self.attach_struct_ops(name))
        except BaseException:
            links.close()
            raise
        return links

    def attach_struct_ops(self, name: str) -> StructOpsLink:
        """Register a struct_ops map with the kernel, until the link is closed.

        Raises:
            AttachError: the kernel refused.
        """
        return attach_struct_ops(self.maps[name], self.struct_ops[name])

    def events(
        self,
        name: str,
        *,
        convert: Mapping[str, Callable[[Any], Any]] | None = None,
        raw: Collection[str] = (),
        into: Callable[..., Any] | None = None,
        decode: Callable[[memoryview, int, int], Any] | None = None,
        **options: Any,
    ) -> EventReader[Any]:
        """A reader of a ring buffer or perf buffer, whichever the map is; see docs/readers.md.

        Its values are built from the type that RECORD_TYPE or EVENT_BUFFER names, else they are bytes.

        Args:
            convert, raw, into: as of `RecordLayout.reader`.
            decode: called with (buffer, offset, size) of each record; instead of all that.
            options: of a perf buffer: size, wakeup, watermark.

        Raises:
            ObjectError: there is no such map, or it is neither.
            RecordError: a name in `convert` or `raw` is no member.
        """
        found = self._map(name)
        layout, counter = self.spec.records.get(name), self.maps.get(name + LOST)
        lost = None if counter is None else lambda: sum(counter[0])
        if decode is not None or layout is None:
            return open_events(found, decode or _copy, lost=lost, **options)
        cut = found.type is MapType.PERF_EVENT_ARRAY
        return open_events(found, layout.reader(convert, raw=raw, into=into, cut=cut), lost=lost, **options)

    def ring(self, name: str) -> RingReader[Any]:
        """As `events`, of what has to be a ring buffer.

        Raises:
            ObjectError: there is no such map, or it is no ring buffer.

        Kernel: 5.8, 457f44363a88.
        """
        layout = self.spec.records.get(name)
        return RingReader(self._map(name), layout.reader() if layout else _copy)

    def user_ring(self, name: str) -> UserRing:
        """A writer to a user ring buffer; takes values of the type that RECORD_TYPE names, and bytes.

        Raises:
            ObjectError: there is no such map, or it is no user ring buffer.

        Kernel: 6.1, 583c1f420173.
        """
        return UserRing(self._map(name), self.spec.records.get(name))

    def _map(self, name: str) -> Map:
        found = self.maps.get(name)
        if found is None:
            raise ObjectError(f"{self.spec.source}: no map `{printable(name)}`; there are {', '.join(self.maps)}")
        return found

    def close(self) -> None:
        """Close all programs and maps. Links are the caller's. Closing twice does nothing."""
        self._stack.close()

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copy(buffer: memoryview, offset: int, size: int) -> bytes:
    return bytes(buffer[offset : offset + size])
