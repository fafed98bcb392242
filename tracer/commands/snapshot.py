# SPDX-License-Identifier: MIT
"""`crypto-tracer snapshot`: what runs now, as one document."""

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
    """Look, and write.

    Raises:
        TracerError: with the exit code that fits.
    """
    import os

    from tracer.sinks.document import write_document
    from tracer.sinks.output import open_output
    from tracer.snapshot import Snapshot, summary

    for name in ("duration", "follow_children"):
        if getattr(options, name):
            text = f"--{name.replace('_', '-')} does nothing here: a snapshot is of one moment"
            log.warning(text)
    with open_output(options.output, lambda: stop.requested, document=True) as output:
        snapshot = Snapshot(options)
        snapshot.warn(log.warning)
        with log.progress("processes") as progress:
            document = snapshot.document(progress.show)
        write_document(output, options.format, document, summary)
    hidden = document["summary"]["processes_hidden"]
    if hidden:
        log.note(f"processes hidden from this user: {hidden}" + ("; root sees all" if os.geteuid() else ""))
    return stop.exit_code


COMMAND = Command(
    "snapshot",
    description="Write what runs now: crypto libraries, open crypto files, cryptography of the kernel.",
    options=(*WATCH, *SHOW, "duration", "config"),
    run=run,
    own={"format": "json-pretty"},
    formats=DOCUMENT_FORMATS,
    examples=(
        ("crypto-tracer snapshot -f summary", "your own processes, for people"),
        ("sudo crypto-tracer snapshot -o host.json", "all processes, into a file"),
        ("sudo crypto-tracer snapshot | jq '.libraries[] | {path, version}'", "the libraries"),
        ("sudo crypto-tracer snapshot -l libssl -f summary", "who has loaded libssl"),
    ),
)
