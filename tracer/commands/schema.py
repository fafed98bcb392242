# SPDX-License-Identifier: MIT
"""`crypto-tracer schema`: the JSON Schema of all that is printed."""

from __future__ import annotations

from tracer.commands import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:  # noqa: ARG001  as the others
    """Print it.

    Raises:
        OutputError: the output takes it not.
    """
    import json

    from tracer.schema import schema
    from tracer.sinks.output import open_output

    with open_output(options.output, lambda: stop.requested, document=True) as output:
        output.write_text(json.dumps(schema(), indent=2) + "\n")
    return 0


COMMAND = Command(
    "schema",
    description="Print the JSON Schema of events and documents.",
    options=("output",),
    run=run,
    examples=(("crypto-tracer schema -o crypto-tracer.schema.json", "for validators and code generators"),),
)
