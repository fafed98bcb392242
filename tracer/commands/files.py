# SPDX-License-Identifier: MIT
"""`crypto-tracer files`: opens of certificates, keys and keystores as they happen."""

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
    return watch(options, log, stop, ("file_open",), needs="file_open")


COMMAND = Command(
    "files",
    description="Show which certificates, keys, keystores and other crypto files are opened, and with what result.",
    options=(*WATCH, *SHOW, *SERVE, "record", "replay", "duration", "config"),
    run=run,
    examples=(
        ("sudo crypto-tracer files -F '*.key' -F 'id_*'", "who opens private keys"),
        ("sudo crypto-tracer files -F /etc/ssl/private", "all of a directory"),
        ("sudo crypto-tracer files | jq 'select(.error)'", "what could not be opened, and why"),
        ("sudo crypto-tracer files -d 60 -f csv -o files.csv", "a minute, for a spreadsheet"),
    ),
)
