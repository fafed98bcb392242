# SPDX-License-Identifier: MIT
"""From pieces of connections to conversations.

The kernel sends what sockets say before they encrypt: pieces of a TCP stream, each with its place in it, or datagrams.
They may come twice, late, in any order, or not at all. Here they are put together again, and read as soon as
something follows what was there without a gap.

Of a connection between two sockets of this host, both tell what they send. The addresses say that it is one.

Memory is bounded: the flow that was quiet for longest goes first. What was seen of a flow that goes before it was
complete is told.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from tracer.wire.reader import WireError

if TYPE_CHECKING:
    from tracer.wire.talk import Talk

Fields = dict[str, Any]
ReadTalk = Callable[[bytes, bytes, str], Optional["Talk"]]
ReadDatagrams = Callable[[Sequence[bytes], Sequence[bytes]], Optional["Talk"]]

# enum ct_wire_flags
SENT, OWNED, LOCAL, CONNECTED, WANTED = 1, 2, 4, 8, 16

# Flows that are followed, bytes that they hold together, and bytes and pieces that one direction may have.
MAX_FLOWS = 8192
MAX_BYTES = 32 << 20
MAX_WAY_BYTES = 32 << 10
MAX_PIECES = 64

# A handshake that pauses for so long is told as far as it went. Servers give their clients a minute or two, and what
# comes later would be told as another one.
QUIET_NS = 60_000_000_000
# What was told is remembered for so long: pieces may come twice.
TOLD_NS = 5_000_000_000

# What an event takes from the process that sent its side.
OWNER = ("start_time", "cgroup", "pid", "host_pid", "tid", "ppid", "uid", "gid", "comm")

_owner = itemgetter(*OWNER)

End = tuple[bytes, int]


class Told(NamedTuple):
    """An event that is to be: `kind` is the name of one in `tracer.model`."""

    kind: str
    fields: Fields


class Way:
    """What one end has sent.

    Attributes:
        base: tells streams of the same addresses apart.
        whole: what is there without a gap, from the first byte on.
        parts: what came behind a gap, by its place; of datagrams, all that came.
        owner: of the end: the fields of its process, or None.
        connected: whether the end is the one that connected to the other.
        wanted: whether the user asked for this process.
    """

    __slots__ = ("base", "connected", "owner", "parts", "wanted", "whole")

    def __init__(self) -> None:
        self.base: int | None = None
        self.whole = bytearray()
        self.parts: dict[int, bytes] = {}
        self.owner: Fields | None = None
        self.connected = False
        self.wanted = False

    def add(self, offset: int, data: bytes) -> bool:
        """Take in a piece of a stream; returns whether there is more without a gap now."""
        whole, parts = self.whole, self.parts
        if offset > len(whole):
            if len(parts) < MAX_PIECES and offset < MAX_WAY_BYTES and len(data) > len(parts.get(offset, b"")):
                parts[offset] = data
            return False
        before = len(whole)
        whole += data[before - offset : MAX_WAY_BYTES - offset]
        for place in sorted(parts):
            if place > len(whole):
                break
            whole += parts.pop(place)[len(whole) - place :]
        return len(whole) > before

    def add_datagram(self, number: int, data: bytes) -> bool:
        """Take in a datagram; returns whether it is new."""
        if number in self.parts or len(self.parts) >= MAX_PIECES:
            return False
        self.parts[number] = data
        return True

    @property
    def datagrams(self) -> list[bytes]:
        """In the order in which they were sent."""
        return [data for _, data in sorted(self.parts.items())]

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.whole) + (sum(map(len, self.parts.values())) if self.parts else 0)

    @property
    def began(self) -> bool:
        """Whether there is something to read."""
        return bool(self.whole or self.parts)


class Flow:
    """A connection: what both ends have sent.

    Attributes:
        ends: address and port of each, as raw bytes and number.
        ways: what each has sent.
        here: the ends that are on this host.
        first: the end that spoke first.
        told: whether nothing more is to be said of it.
        size: bytes that it holds.
        record: the last piece.
    """

    __slots__ = ("ends", "first", "here", "record", "size", "told", "ways")

    def __init__(self, ends: tuple[End, End], first: int, record: Fields) -> None:
        self.ends = ends
        self.first = first
        self.ways = (Way(), Way())
        self.here: set[int] = set()
        self.told = False
        self.size = 0
        self.record = record

    def forget(self) -> None:
        """Keep no more than that there was something."""
        for way in self.ways:
            way.whole, way.parts = bytearray(), {}
        self.record = {"time": self.record["time"]}
        self.told = True


class Flows:
    """Puts pieces together and reads them.

    Args:
        read_talk: reads both directions of a stream; `tracer.wire.talk`.
        read_datagrams: the same for datagrams; None: they are left alone.
        asked: whether the user asked for a process, by its fields, where the kernel's flag does not say it all.

    Attributes:
        unread: flows that began like a handshake and were none, or had no process that could be named.
        evicted: flows that went because there were too many.
    """

    def __init__(
        self,
        read_talk: ReadTalk,
        read_datagrams: ReadDatagrams | None = None,
        asked: Callable[[Fields], bool] | None = None,
    ) -> None:
        self._read_talk = read_talk
        self._read_datagrams = read_datagrams
        self._asked = asked
        self._flows: OrderedDict[tuple[Any, ...], Flow] = OrderedDict()
        self._told: OrderedDict[tuple[Any, ...], Flow] = OrderedDict()
        self._bytes = 0
        self.unread = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def held_bytes(self) -> int:
        """How much all flows hold."""
        return self._bytes

    def add(self, record: Fields) -> list[Told]:
        """Take in a record of the kind `wire_data`; returns what it completes."""
        found: list[Told] = []
        source = (bytes(record["from"]), record["from_port"])
        target = (bytes(record["to"]), record["to_port"])
        ends = (source, target) if source <= target else (target, source)
        key = (record["space"], record["protocol"], *ends)
        side = 0 if source == ends[0] else 1
        flow = self._flows.get(key) or self._told.get(key)
        if flow and flow.ways[side].base not in (None, record["base"]):
            found += self._end(key)  # the same addresses, another connection
            flow = None
        if flow is None:
            flow = self._flows[key] = Flow(ends, side, record)
        (self._told if flow.told else self._flows).move_to_end(key)
        if self._take(flow, side, record) and flow.ways[0].began and flow.ways[1].began:
            found += self._look(flow)
            if flow.told:
                self._told[key] = self._flows.pop(key)
                for way in flow.ways:
                    way.owner = None  # there may be thousands
                if len(self._told) > MAX_FLOWS:
                    self._told.popitem(last=False)
        while len(self._flows) > MAX_FLOWS or self._bytes > MAX_BYTES:
            self.evicted += 1
            found += self._end(next(iter(self._flows)))
        return found

    def expire(self, now_ns: int) -> list[Told]:
        """What is told of flows that were quiet for too long. `now_ns` is of the clock of the records."""
        found: list[Told] = []
        while self._flows:
            key, flow = next(iter(self._flows.items()))
            if now_ns - flow.record["time"] < QUIET_NS:
                break
            found += self._end(key)
        while self._told and now_ns - next(iter(self._told.values())).record["time"] >= TOLD_NS:
            self._told.popitem(last=False)
        return found

    def close(self) -> list[Told]:
        """What is told of all that is left."""
        return [told for key in list(self._flows) for told in self._end(key)]

    def _take(self, flow: Flow, side: int, record: Fields) -> bool:
        """Take in a piece; returns whether it may change what can be told: a copy of one does not."""
        way, flags = flow.ways[side], record["flags"]
        way.base = record["base"]
        if flow.told:
            flow.record["time"] = record["time"]
            return False
        flow.record = record
        own = side if flags & SENT else 1 - side
        news = own not in flow.here or bool(flags & OWNED)
        flow.here.add(own)
        if flags & CONNECTED:
            flow.ways[own].connected = True
        if flags & OWNED:
            way.owner = dict(zip(OWNER, _owner(record)))
            way.wanted = bool(flags & WANTED) and (self._asked is None or self._asked(way.owner))
        if record["protocol"] == socket.IPPROTO_TCP:
            more = way.add(record["offset"], record["data"])
        else:
            more = self._take_datagrams(way, record)
        size = flow.ways[0].size + flow.ways[1].size
        self._bytes += size - flow.size
        flow.size = size
        return news or more

    def _take_datagrams(self, way: Way, record: Fields) -> bool:
        data, size = record["data"], record["segment"] or len(record["data"])
        more = False
        for part, begin in enumerate(range(0, len(data), size or 1)):
            more |= way.add_datagram(record["offset"] * MAX_PIECES + part, data[begin : begin + size])
        return more

    def _look(self, flow: Flow) -> list[Told]:
        """Read both directions; what is complete is told."""
        mine = self._local(flow)
        try:
            talk = self._read(flow, mine)
        except WireError:
            talk = None
        if talk is None:
            self.unread += 1
            self._forget(flow)
        elif talk.complete and flow.ways[mine].owner:  # what it sends next may tell whose it is
            return self._tell(flow, talk, mine)
        return []

    def _end(self, key: tuple[Any, ...]) -> list[Told]:
        """A flow goes: what there is of it is told, if that was not done."""
        flow = self._flows.pop(key, None) or self._told.pop(key)
        found: list[Told] = []
        if not flow.told:
            mine = self._local(flow)
            try:
                talk = self._read(flow, mine)
            except WireError:
                talk = None
            if talk is None or not talk.kind:
                self.unread += 1
            else:
                found = self._tell(flow, talk, mine)
        self._forget(flow)
        return found

    def _forget(self, flow: Flow) -> None:
        self._bytes -= flow.size
        flow.size = 0
        flow.forget()

    def _local(self, flow: Flow) -> int:
        """The end from whose side a flow is told: that which is here; of two, the one that connected.

        Datagrams connect nobody: there it is the one that spoke first. If the user did not ask for that one, it is
        the other one.
        """
        if len(flow.here) == 1:
            return next(iter(flow.here))
        connected = [way.connected for way in flow.ways]
        client = connected.index(True) if any(connected) else flow.first
        if not flow.ways[client].wanted and flow.ways[1 - client].wanted:
            return 1 - client
        return client

    def _read(self, flow: Flow, mine: int) -> Talk | None:
        sent, received = flow.ways[mine], flow.ways[1 - mine]
        if flow.record["protocol"] == socket.IPPROTO_TCP:
            role = "client" if sent.connected else "server"
            return self._read_talk(bytes(sent.whole), bytes(received.whole), role)
        if self._read_datagrams is None:
            return None
        return self._read_datagrams(sent.datagrams, received.datagrams)

    def _tell(self, flow: Flow, talk: Talk, mine: int) -> list[Told]:
        own, other = flow.ways[mine], flow.ways[1 - mine]
        record = flow.record
        self._forget(flow)
        if own.owner is None:
            self.unread += 1
            return []
        if not own.wanted:
            return []
        address, port = flow.ends[mine]
        peer_address, peer_port = flow.ends[1 - mine]
        peer = other.owner or {}
        fields = {
            "time": record["time"],
            "wall_ns": record["wall_ns"],
            **own.owner,
            **talk.fields,
            "local_address": address_text(record["family"], address),
            "local_port": port,
            "peer_address": address_text(record["family"], peer_address),
            "peer_port": peer_port,
            "peer_pid": peer.get("pid"),
            "peer_process": peer.get("comm"),
        }
        return [Told(talk.kind, fields)]


def address_text(family: int, raw: bytes) -> str:
    """An address as people write it."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw[:16])
