# SPDX-License-Identifier: MIT
"""What is negotiated on the wire: TLS, SSH, DTLS, QUIC of all processes, whatever library they use.

Two programs look at the packets of all sockets: those in the control group that the user named, or in the root.
They copy what is said before encryption begins. `tracer.wire` makes of it what happened.

The tables of a packet's socket tell which process it is from; see bpf/wire_trace.bpf.c. What never comes is a
connection that is older than the tracer, and one that becomes TLS in its midst (STARTTLS).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pybpfload
from tracer.errors import TracerError
from tracer.model import KIND_BY_NAME, Event, complete
from tracer.probes.base import Probe, common_knobs
from tracer.proc import find
from tracer.wire.flows import Flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.probes.base import Context
    from tracer.settings import Settings
    from tracer.wire.flows import Told
    from tracer.wire.talk import Talk

WIRE_DATA = "wire_data"


def place(settings: Settings) -> str:
    """The control group whose sockets are looked at.

    Raises:
        TracerError: there is none.
    """
    directory = settings.cgroup or find.whole_cgroup()
    if not directory:
        raise TracerError(
            "no file system of type cgroup2 is mounted, so no packet can be looked at",
            hint="mount -t cgroup2 none /sys/fs/cgroup/unified",
        )
    return directory


def knobs(settings: Settings) -> dict[str, int]:
    """In a part of the host's sockets, those at the other end may be missing: then what is received counts, too."""
    try:
        whole = os.stat(place(settings)).st_ino == find.CGROUP_ROOT
    except (TracerError, OSError):
        whole = True
    return {**common_knobs(settings), "targ_received": not whole}


def read_talk(sent: bytes, received: bytes, role: str = "") -> Talk | None:
    """As `tracer.wire.talk` has it: what reads hellos is only imported when there is one."""
    from tracer.wire import talk

    return talk.read_talk(sent, received, role)


def read_datagrams(sent: Sequence[bytes], received: Sequence[bytes]) -> Talk | None:
    """The same for datagrams."""
    from tracer.wire import talk

    return talk.read_datagrams(sent, received)


def attach(context: Context) -> None:
    """To the control group, beside whatever programs of others it has."""
    directory = place(context.settings)
    if not context.settings.cgroup and os.stat(directory).st_ino != find.CGROUP_ROOT:
        text = "connections are seen of this container's control group alone: docs/deploy.md says how to see more"
        context.log.note(text)
    for program in context.obj.programs.values():
        context.links.append(pybpfload.attach_cgroup(program, directory))
    context.state = Flows(read_talk, read_datagrams, context.settings.asked)


def event_of(told: Told) -> Event:
    """As all others."""
    complete(told.kind, told.fields)
    return Event(KIND_BY_NAME[told.kind], told.fields)


def digest(context: Context, record: Event) -> list[Event]:
    """What a piece completes."""
    flows: Flows = context.state
    return [event_of(told) for told in flows.add(record.fields)]


def due(context: Context, now_ns: int, last: bool) -> list[Event]:
    """What has been waited for long enough; at the end all that is left."""
    flows: Flows = context.state
    return [event_of(told) for told in (flows.close() if last else flows.expire(now_ns))]


WIRE = Probe(
    "wire",
    knobs=knobs,
    attach=attach,
    takes=WIRE_DATA,
    digest=digest,
    due=due,
    several=(WIRE_DATA,),
    needs=("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"),
)
