# SPDX-License-Identifier: MIT
"""`crypto-tracer version`: the version, and what it runs on."""

from __future__ import annotations

from tracer.commands import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:  # noqa: ARG001  as the others
    """Print it."""
    import os
    import sys

    host = os.uname()
    say: int = options.say(
        f"{options.version_line}\n"
        f"kernel  {host.release} {host.machine}; needs BTF and BPF ring buffers, 5.8 or newer\n"
        f"python  {'.'.join(map(str, sys.version_info[:3]))}\n"
        "licence MIT; the BPF programs MIT or GPL-2.0-only\n"
    )
    return say


COMMAND = Command(
    "version",
    description="Show the version of the program, and what it runs on.",
    options=(),
    run=run,
    examples=(("crypto-tracer version", "also: crypto-tracer --version, one line"),),
)
