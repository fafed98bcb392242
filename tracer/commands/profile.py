# SPDX-License-Identifier: MIT
"""`crypto-tracer profile`: what processes do in a while, as one document."""

from __future__ import annotations

from tracer.commands import Command
from tracer.options import SHOW, WATCH
from tracer.sinks import DOCUMENT_FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:
    """Watch, and write.

    Raises:
        TracerError: with the exit code that fits.
    """
    from tracer.pipeline.select import Selection
    from tracer.view import ProfileView

    selection = Selection(options, processes=True)
    if options.replay:
        from tracer.replay import replay

        return replay(options, selection, log, stop, ProfileView())
    from tracer.session import Session

    return Session(options, log, stop, selection, ProfileView(selection.roots)).run()


COMMAND = Command(
    "profile",
    description="Watch processes for a while, and write one document: libraries, files, calls, handshakes.",
    options=(*WATCH, *SHOW, "token_fs", "record", "replay", "deep", "duration", "config"),
    run=run,
    own={"format": "json-pretty", "duration": 30.0},
    formats=DOCUMENT_FORMATS,
    examples=(
        ("sudo crypto-tracer profile -p 4711", "one process, 30 s or until it ends"),
        ("sudo crypto-tracer profile -n nginx -d 60 -o nginx.json", "all of that name"),
        ("sudo crypto-tracer profile -p 4711 --follow-children", "and what it starts"),
    ),
)
