# SPDX-License-Identifier: MIT
"""`crypto-tracer tls`: what is negotiated on the wire, by TLS and SSH, as it happens."""

from __future__ import annotations

from tracer.commands import Command
from tracer.commands.watching import watch
from tracer.options import SERVE, SHOW, WATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:
    """Trace until it is time to end.

    Raises:
        TracerError: with the exit code that fits.
    """
    return watch(options, log, stop, ("tls_handshake", "ssh_handshake"), needs="wire", only_wire=True)


COMMAND = Command(
    "tls",
    description="Show what each connection of TLS and SSH agrees on, whatever library it is, with a grade.",
    options=(*WATCH, *SHOW, *SERVE, "record", "replay", "duration", "config"),
    run=run,
    examples=(
        ("sudo crypto-tracer tls", "all connections, until Ctrl-C"),
        ("sudo crypto-tracer tls -f summary -d 600", "ten minutes, summed up"),
        ("sudo crypto-tracer tls -n nginx -f csv -o tls.csv", "of nginx, for a spreadsheet"),
        ("sudo crypto-tracer tls | jq 'select(.post_quantum_reason)'", "who is not post-quantum yet"),
    ),
)
