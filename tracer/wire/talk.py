# SPDX-License-Identifier: MIT
"""What two sides say to each other before they encrypt: from bytes to the values of an event.

Nothing is remembered between calls, nothing is asked of the system, and all that is read has a bound. The bytes come
from strangers: whatever they are, the answer is a result or `WireError`.

`Talk.fields` has a value for each column of its kind that the wire can tell: see `tracer.model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tracer.wire import dtls, quic, ssh, tls
from tracer.wire.reader import WireError

__all__ = ["UNDECIDED", "Talk", "WireError", "read_datagrams", "read_talk"]

# So much of each direction is looked at.
MAX_BYTES = tls.MAX_BYTES


class Talk(NamedTuple):
    """What was read so far.

    Attributes:
        kind: ``tls_handshake`` or ``ssh_handshake``; "" as long as there are too few bytes to tell.
        role: of the local socket: ``client`` or ``server``; "" if it is not known.
        fields: values of the event by the names of its columns; `role` is one of them.
        complete: whether nothing that may follow in the clear can change it.
    """

    kind: str
    role: str
    fields: dict[str, Any]
    complete: bool


# With so many bytes of one side, it is clear which protocol it is.
ENOUGH = 6

UNDECIDED = Talk("", "", {}, complete=False)


def read_talk(sent: bytes, received: bytes, role: str = "") -> Talk | None:
    """What a connection over a stream says; None if it is neither TLS nor SSH, and never will be.

    Args:
        sent: what the local socket has sent, without a gap, from the first byte of the protocol on.
        received: what it has received.
        role: of the local socket, if it is known who has connected to whom. The first two messages of SSH do not say
            it; without it, SSH takes one message more. TLS says it itself.

    Raises:
        WireError: it begins like one of them, and does not go on like it.
    """
    if max(len(sent), len(received)) < ENOUGH:
        begin = any(begins(side) for side in (sent, received) for begins in (tls.begins, ssh.begins))
        return UNDECIDED if begin else None
    if (sent and tls.begins(sent)) or (received and tls.begins(received)):
        kind, (side, fields, complete) = "tls_handshake", tls.read_tls(sent, received)
    elif (sent and ssh.begins(sent)) or (received and ssh.begins(received)):
        kind, (side, fields, complete) = "ssh_handshake", ssh.read_ssh(sent, received, role)
    else:
        return None
    return Talk(kind, side, {"role": side, **fields}, complete) if side or kind != "tls_handshake" else UNDECIDED


def read_datagrams(sent: Sequence[bytes], received: Sequence[bytes]) -> Talk | None:
    """The same of datagrams, each in the order in which they came: DTLS, and the first packets of QUIC.

    Datagrams that are neither, or come too late, may be among them.

    Raises:
        WireError: as `read_talk`.
    """
    for begins, read in ((dtls.begins, dtls.read_dtls), (quic.begins, quic.read_quic)):
        ours, theirs = list(filter(begins, sent)), list(filter(begins, received))
        if ours or theirs:
            if begins is dtls.begins:
                ours, theirs = list(sent), list(received)
            role, fields, complete = read(ours, theirs)
            return Talk("tls_handshake", role, {"role": role, **fields}, complete)
    return UNDECIDED if not sent and not received else None
