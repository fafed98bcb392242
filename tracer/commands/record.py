# SPDX-License-Identifier: MIT
"""`crypto-tracer record FILE`: keeps events for later, and shows none.

What it needs to do this is imported in `run`, so that the help of the command is quick.
"""

from __future__ import annotations

from tracer.commands import Command
from tracer.commands.watching import watch
from tracer.options import SERVE, WATCH
from tracer.sinks import DEFAULT_FORMAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:
    """Record until it is time to end.

    Raises:
        TracerError: with the exit code that fits.
    """
    import os

    from tracer.errors import UsageError
    from tracer.view import NoView

    if len(options.rest) != 1:
        raise UsageError(f"record: {len(options.rest)} files are named, expected one")
    options.record = options.rest[0]
    options.output, options.format, options.replay = os.devnull, DEFAULT_FORMAT, ""
    return watch(options, log, stop, view=NoView())


COMMAND = Command(
    "record",
    description="Keep events in a file, for --replay of monitor, files, libs and profile.",
    options=(*WATCH, "no_redact", *SERVE, "duration", "config"),
    run=run,
    rest=("FILE", "the recording; what was there before is replaced", "+"),
    examples=(
        ("sudo crypto-tracer record -d 600 ten-minutes.rec", "ten minutes of everything"),
        ("sudo crypto-tracer record -n nginx nginx.rec", "what nginx does, until Ctrl-C"),
        ("sudo crypto-tracer record -p 4711 --no-redact app.rec", "nothing is hidden: keep it safe"),
    ),
)
