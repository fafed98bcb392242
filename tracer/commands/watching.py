# SPDX-License-Identifier: MIT
"""What the commands that show events share: from the kernel as they happen, or from a recording.

What it takes to do this is imported when it is done, so that the help of a command is quick.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop
    from tracer.view import View

__all__ = ["watch"]


def watch(
    options: Namespace,
    log: Log,
    stop: Stop,
    kinds: tuple[str, ...] = (),
    view: View | None = None,
    *,
    only_wire: bool = False,
) -> int:
    """Trace until it is time to end, or replay.

    Args:
        kinds: of the events to show; all if there are none.
        view: what to show of a trace beside its events.
        only_wire: whether of handshakes only those count that were seen on the wire.

    Raises:
        TracerError: with the exit code that fits.
    """
    from tracer.pipeline.select import Selection

    selection = Selection(options, kinds, only_wire=only_wire)
    if options.replay:
        from tracer.replay import replay

        return replay(options, selection, log, stop)
    from tracer.session import Session

    return Session(options, log, stop, selection, view).run()
