# SPDX-License-Identifier: MIT
"""`crypto-tracer doctor`: what this host allows, and what would help."""

from __future__ import annotations

from tracer.commands import Command
from tracer.sinks import DOCUMENT_FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:  # noqa: ARG001  as the others
    """Look, and tell.

    Raises:
        OutputError: the output takes it not.
    """
    from tracer.doctor import examine, summary
    from tracer.sinks.document import write_document
    from tracer.sinks.output import open_output

    with open_output(options.output, lambda: stop.requested, document=True) as output:
        document, code = examine(options.token_fs)
        write_document(output, options.format, document, summary)
    return stop.exit_code or code


COMMAND = Command(
    "doctor",
    description="Tell what this host allows, and what would help. Exits with 0 if all probes can run.",
    options=("output", "format", "token_fs", "config"),
    run=run,
    own={"format": "summary"},
    formats=DOCUMENT_FORMATS,
    examples=(
        ("sudo crypto-tracer doctor", "for people"),
        ("sudo crypto-tracer doctor -f json-pretty -o host.json", "for a report"),
        ("sudo crypto-tracer doctor -f json-stream | jq '.probes[] | select(.on | not)'", "what is off"),
    ),
)
