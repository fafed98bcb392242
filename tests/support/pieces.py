"""Records of the kind wire_data, as sockets of this host tell them."""

from __future__ import annotations

import socket

from tracer.wire.flows import CONNECTED, LOCAL, OWNED, SENT, WANTED, Flows
from tracer.wire.talk import read_datagrams, read_talk

CLIENT, SERVER = (b"\x0a\0\0\1" + bytes(12), 40000), (b"\x0a\0\0\2" + bytes(12), 443)
# What both sockets of one host tell, the client's and the server's.
ONE, OTHER = SENT | OWNED | WANTED | LOCAL | CONNECTED, SENT | OWNED | WANTED | LOCAL
PID = {CLIENT: 100, SERVER: 200}
END = b"\x14\3\3\0\1\1"  # a ChangeCipherSpec: what follows is encrypted


def piece(source, data, offset=0, flags=ONE, **fields):
    """A record of the kind wire_data, as decode makes it."""
    target = SERVER if source == CLIENT else CLIENT
    owned = bool(flags & OWNED)
    return {
        "time": 1000, "wall_ns": 5000, "start_time": 7 if owned else 0, "cgroup": 1, "pid": PID[source] if owned else 0,
        "host_pid": PID[source], "tid": PID[source], "ppid": 1, "uid": 0, "gid": 0, "comm": f"p{PID[source]}",
        "space": 4026531840, "base": 77, "back": 0,
        "offset": offset, "segment": 0, "protocol": socket.IPPROTO_TCP, "family": socket.AF_INET,
        "from_port": source[1], "to_port": target[1], "from": source[0], "to": target[0], "flags": flags,
        "data": data, **fields,
    }  # fmt: skip


def feed(pieces):
    """What all pieces complete, and what is left at the end."""
    found = Flows(read_talk, read_datagrams)
    told = [each for record in pieces for each in found.add(record)]
    return told, found.close(), found
