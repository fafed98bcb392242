# SPDX-License-Identifier: MIT
"""`crypto-tracer monitor`: events as they happen, until a signal or for a given time.

What it needs to do this is imported in `run`, so that the help of the command is quick.
"""

from __future__ import annotations

from tracer.commands import Command
from tracer.commands.watching import watch, watch_live
from tracer.options import SERVE, SHOW, TABLE, WATCH

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
    return watch_live(options, log, stop) if options.live else watch(options, log, stop)


COMMAND = Command(
    "monitor",
    description="Show which crypto files are opened, which crypto libraries are loaded, and which programs run.",
    options=(*WATCH, *SHOW, "live", *TABLE, *SERVE, "record", "replay", "deep", "duration", "config"),
    run=run,
    examples=(
        ("sudo crypto-tracer monitor", "all there is, until Ctrl-C"),
        ("sudo crypto-tracer monitor -d 60 -o events.jsonl", "one minute, into a file"),
        ("sudo crypto-tracer monitor -n nginx -F '*.pem' -F '*.key'", "what nginx opens"),
        ("sudo crypto-tracer monitor | jq 'select(.result == 2)'", "files that were not found"),
    ),
)
