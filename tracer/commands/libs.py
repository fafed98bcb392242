# SPDX-License-Identifier: MIT
"""`crypto-tracer libs`: crypto libraries that are loaded, and then those that come."""

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
    """List, then trace until it is time to end.

    Raises:
        TracerError: with the exit code that fits.
    """
    from tracer.view import LibrariesView

    return watch(options, log, stop, ("lib_present", "lib_load", "lib_open"), LibrariesView())


COMMAND = Command(
    "libs",
    description="List the crypto libraries that processes have loaded, then show those that are loaded.",
    options=(*WATCH, *SHOW, *SERVE, "record", "replay", "duration", "config"),
    run=run,
    examples=(
        ("sudo crypto-tracer libs -d 1", "what is loaded"),
        ("sudo crypto-tracer libs -l libssl -n nginx", "of certain names"),
        ("sudo crypto-tracer libs | jq 'select(.deleted)'", "libraries that were replaced on disk"),
    ),
)
