# SPDX-License-Identifier: MIT
"""`crypto-tracer top`: what happens, as a table that changes with it."""

from __future__ import annotations

from tracer.commands import Command
from tracer.commands.watching import watch_live
from tracer.options import SERVE, SHOW, TABLE, WATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:
    """Show the table until the user leaves it, or it is time to end.

    Raises:
        TracerError: with the exit code that fits.
    """
    return watch_live(options, log, stop)


COMMAND = Command(
    "top",
    description="Watch events, processes, files, libraries, handshakes and losses in a table.",
    options=(*WATCH, *SHOW, *TABLE, *SERVE, "record", "replay", "duration", "config"),
    run=run,
    examples=(
        ("sudo crypto-tracer top", "all there is, until q"),
        ("sudo crypto-tracer top -n nginx --view files", "what nginx opens"),
        ("sudo crypto-tracer top --record day.rec", "and keep it"),
        ("crypto-tracer top --replay day.rec --speed 60x", "an hour in a minute"),
        ("crypto-tracer top --replay day.rec --export-svg top.svg", "leave with a picture"),
    ),
)
