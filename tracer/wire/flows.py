# SPDX-License-Identifier: MIT
"""From pieces of connections to conversations.

The kernel sends what sockets say before they encrypt: pieces of a TCP stream, each with its place in it, or datagrams.
They may come twice, late, in any order, or not at all. Here they are put together again, and read as soon as
something follows what was there without a gap.

Of a connection between two sockets of this host, both tell what they send. On the loopback device the addresses say
that it is one. In network namespaces of their own, and behind address translation, addresses mean nothing: there the
numbers do with which both directions of a TCP connection begin. Each of the two sockets tells both of them with each
piece. Datagrams have none, and data that come with a SYN only one: there it is the same connection if the first bytes,
which have random numbers in them, are the same, between the same addresses.

Memory is bounded: the flow that was quiet for longest goes first. What was seen of a flow that goes before it was
complete is told.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from tracer.wire.flow import CERTAINLY, MAX_PIECES, MAYBE, End, Fields, Flow, Name, Way
from tracer.wire.reader import WireError

if TYPE_CHECKING:
    from tracer.wire.talk import Talk

ReadTalk = Callable[[bytes, bytes, str], Optional["Talk"]]
ReadDatagrams = Callable[[Sequence[bytes], Sequence[bytes]], Optional["Talk"]]

# enum ct_wire_flags
SENT, OWNED, LOCAL, CONNECTED, WANTED = 1, 2, 4, 8, 16

# Flows that are followed, and bytes that they hold together.
MAX_FLOWS = 4096
MAX_BYTES = 8 << 20

# A handshake that pauses for so long is told as far as it went. Servers give their clients a minute or two, and what
# comes later would be told as another one.
QUIET_NS = 60_000_000_000
# What was told is remembered for so long: pieces may come twice.
TOLD_NS = 5_000_000_000

# Within its first bytes, so many, a client has random numbers: in TLS those of the hello, in QUIC the connection's.
ENOUGH = 64

# What an event takes from the process that sent its side.
OWNER = ("start_time", "cgroup", "pid", "host_pid", "tid", "ppid", "uid", "gid", "comm")

_owner = itemgetter(*OWNER)

# A name of a flow, and which of the two directions in it a piece is: 0 or 1.
Named = tuple[Name, int]


class Told(NamedTuple):
    """An event that is to be: `kind` is the name of one in `tracer.model`."""

    kind: str
    fields: Fields


class Flows:
    """Puts pieces together and reads them.

    Args:
        read_talk: reads both directions of a stream; `tracer.wire.talk`.
        read_datagrams: the same for datagrams; None: they are left alone.
        asked: whether the user asked for a process, by its fields, where the kernel's flag does not say it all; None:
            that is not known.

    Attributes:
        unread: flows that began like a handshake and were none, or had no process that could be named.
        evicted: flows that went because there were too many.
    """

    def __init__(
        self,
        read_talk: ReadTalk,
        read_datagrams: ReadDatagrams | None = None,
        asked: Callable[[Fields], bool | None] | None = None,
    ) -> None:
        self._read_talk = read_talk
        self._read_datagrams = read_datagrams
        self._asked = asked
        self._flows: OrderedDict[Flow, None] = OrderedDict()
        self._told: OrderedDict[Flow, None] = OrderedDict()
        self._names: dict[Name, tuple[Flow, int]] = {}  # and which of its ways is the first one of the name
        self._bytes = 0
        self.unread = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def names(self) -> int:
        """How many names all flows have."""
        return len(self._names)

    @property
    def held_bytes(self) -> int:
        """How much all flows hold."""
        return self._bytes

    def add(self, record: Fields) -> list[Told]:
        """Take in a record of the kind `wire_data`; returns what it completes."""
        found: list[Told] = []
        source = (bytes(record["from"]), record["from_port"])
        target = (bytes(record["to"]), record["to_port"])
        flow, side = self._find(record, source, target, found)
        (self._told if flow.told else self._flows).move_to_end(flow)
        if self._take(flow, side, record, source, target) and flow.ways[0].began and flow.ways[1].began:
            found += self._look(flow)
            if flow.told:
                del self._flows[flow]
                self._told[flow] = None
                for way in flow.ways:
                    way.owner = way.ends = None  # there may be thousands
                if len(self._told) > MAX_FLOWS:
                    self._drop(next(iter(self._told)))
        while len(self._flows) > MAX_FLOWS or self._bytes > MAX_BYTES:
            self.evicted += 1
            found += self._end(next(iter(self._flows)))
        return found

    def expire(self, now_ns: int) -> list[Told]:
        """What is told of flows that were quiet for too long. `now_ns` is of the clock of the records."""
        found: list[Told] = []
        while self._flows:
            flow = next(iter(self._flows))
            if now_ns - flow.time < QUIET_NS:
                break
            found += self._end(flow)
        while self._told and now_ns - next(iter(self._told)).time >= TOLD_NS:
            self._drop(next(iter(self._told)))
        return found

    def close(self) -> list[Told]:
        """What is told of all that is left."""
        return [told for flow in list(self._flows) for told in self._end(flow)]

    def _find(self, record: Fields, source: End, target: End, found: list[Told]) -> tuple[Flow, int]:
        """The flow that a piece belongs to, and which of its ends sent it; what another one's end tells is added."""
        place = int(source > target)
        ends = (target, source) if place else (source, target)
        name = (record["space"], record["protocol"], *ends)
        known = self._names.get(name)
        if known:
            flow, side = known[0], place ^ known[1]
            if _is_of(flow, side, record):
                if record["back"]:
                    self._call(flow, side, _other_name(record, ends, place))
                return flow, side
            found += self._end(flow)  # the same addresses, another connection
        other = _other_name(record, ends, place)
        known = self._names.get(other[0]) if other else None
        if other and known:
            flow, side = known[0], other[1] ^ known[1]
            way = flow.ways[side]
            if record["protocol"] != socket.IPPROTO_TCP or way.agrees(record["offset"], record["data"]):
                self._call(flow, side, (name, place))
                return flow, side
        flow = Flow(place, record)
        self._flows[flow] = None
        self._call(flow, place, (name, place))
        self._call(flow, place, other)
        return flow, place

    def _call(self, flow: Flow, side: int, named: Named | None) -> None:
        """Let a flow be found by a name, too, if no other one is."""
        if named and named[0] not in self._names:
            flow.names.append(named[0])
            self._names[named[0]] = (flow, side ^ named[1])

    def _drop(self, flow: Flow) -> None:
        """Find it no more."""
        del (self._told if flow.told else self._flows)[flow]
        for name in flow.names:
            del self._names[name]

    def _take(self, flow: Flow, side: int, record: Fields, source: End, target: End) -> bool:
        """Take in a piece; returns whether it may change what can be told: a copy of one does not."""
        way, flags = flow.ways[side], record["flags"]
        way.base = record["base"]
        if record["back"]:
            flow.ways[1 - side].base = record["back"]
        flow.time = record["time"]
        if flow.told:
            return False
        flow.wall_ns = record["wall_ns"]
        own = side if flags & SENT else 1 - side
        news = own not in flow.here or bool(flags & OWNED)
        flow.here.add(own)
        mine = flow.ways[own]
        if not flags & SENT:  # here the addresses have been translated back
            mine.ends = (record["family"], target, source)
        elif mine.ends is None:
            mine.ends = (record["family"], source, target)
        if flags & CONNECTED:
            mine.connected = True
        if flags & OWNED:
            way.owner = dict(zip(OWNER, _owner(record)))
            way.wanted = self._wish(way.owner) if flags & WANTED else 0
        if record["protocol"] == socket.IPPROTO_TCP:
            more = way.add(record["offset"], record["data"])
        else:
            more = self._take_datagrams(way, record)
        size = flow.ways[0].size + flow.ways[1].size
        self._bytes += size - flow.size
        flow.size = size
        return news or more

    def _wish(self, owner: Fields) -> int:
        """See `Way.wanted`."""
        answer = self._asked(owner) if self._asked else True
        return MAYBE if answer is None else CERTAINLY if answer else 0

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

    def _end(self, flow: Flow) -> list[Told]:
        """A flow goes: what there is of it is told, if that was not done."""
        self._drop(flow)
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

        Datagrams connect nobody: there it is the one that spoke first. If the user asked for the other one rather than
        for that, it is the other one.
        """
        if len(flow.here) == 1:
            return next(iter(flow.here))
        connected = [way.connected for way in flow.ways]
        client = connected.index(True) if any(connected) else flow.first
        return client if flow.ways[client].wanted >= flow.ways[1 - client].wanted else 1 - client

    def _read(self, flow: Flow, mine: int) -> Talk | None:
        sent, received = flow.ways[mine], flow.ways[1 - mine]
        if flow.protocol == socket.IPPROTO_TCP:
            role = "client" if sent.connected else "server"
            return self._read_talk(bytes(sent.whole), bytes(received.whole), role)
        if self._read_datagrams is None:
            return None
        return self._read_datagrams(sent.datagrams, received.datagrams)

    def _tell(self, flow: Flow, talk: Talk, mine: int) -> list[Told]:
        own, other = flow.ways[mine], flow.ways[1 - mine]
        self._forget(flow)
        if own.owner is None:
            self.unread += 1
            return []
        if not own.wanted:
            return []
        assert own.ends is not None
        family, (address, port), (peer_address, peer_port) = own.ends
        peer = other.owner if other.owner and other.owner["pid"] else {}  # 0: outside of our PID namespace
        fields = {
            "time": flow.time,
            "wall_ns": flow.wall_ns,
            **own.owner,
            **talk.fields,
            "local_address": address_text(family, address),
            "local_port": port,
            "peer_address": address_text(family, peer_address),
            "peer_port": peer_port,
            "peer_pid": peer.get("pid"),
            "peer_process": peer.get("comm"),
        }
        return [Told(talk.kind, fields)]


def _is_of(flow: Flow, side: int, record: Fields) -> bool:
    """Whether a piece between the same addresses is of the same connection."""
    return flow.ways[side].base in (None, record["base"]) and (
        not record["back"] or flow.ways[1 - side].base in (None, record["back"])
    )


def _other_name(record: Fields, ends: tuple[End, End], place: int) -> Named | None:
    """What both sockets of a connection tell of it, wherever they are; None if that is not known."""
    base, back = record["base"], record["back"]
    if back:
        return ((base, back) if base < back else (back, base), int(base > back)) if base != back else None
    first = bytes(record["data"][: min(ENOUGH, record["segment"] or ENOUGH)])
    begins = len(first) == ENOUGH and (record["protocol"] != socket.IPPROTO_TCP or not record["offset"])
    return ((*ends, base, first), place) if begins else None


def address_text(family: int, raw: bytes) -> str:
    """An address as people write it."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw[:16])
