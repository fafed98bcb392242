# SPDX-License-Identifier: MIT
"""`crypto-tracer help [COMMAND]`: the same as `--help`."""

from __future__ import annotations

from tracer.commands import COMMANDS, Command
from tracer.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:  # noqa: ARG001  as the others
    """Show it.

    Raises:
        UsageError: there is no such command.
    """
    names = [name for name, _ in COMMANDS]
    wanted = list(options.rest)
    if len(wanted) > 1 or not set(wanted) <= set(names):
        raise UsageError(f"help {' '.join(wanted)}: expected one of {', '.join(names)}")
    show: int = options.main([*wanted, "--help"])
    return show


COMMAND = Command(
    "help",
    description="Show the help of a command, or that of the program.",
    options=(),
    run=run,
    rest=("[COMMAND]", "name of a command", "*"),
    examples=(("crypto-tracer help monitor", "the options of monitor"),),
)
