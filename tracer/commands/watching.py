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

__all__ = ["watch", "watch_live"]


def watch(
    options: Namespace,
    log: Log,
    stop: Stop,
    kinds: tuple[str, ...] = (),
    view: View | None = None,
    *,
    needs: str = "",
    only_wire: bool = False,
) -> int:
    """Trace until it is time to end, or replay.

    Args:
        kinds: of the events to show; all if there are none.
        view: what to show of a trace beside its events.
        needs: the probe without which there is nothing to see.
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

    return Session(options, log, stop, selection, view, needs=needs).run()


def watch_live(options: Namespace, log: Log, stop: Stop) -> int:
    """The same as a table on the terminal; as lines where there is none, and no picture is asked for.

    Raises:
        TracerError: with the exit code that fits.
    """
    import os

    from tracer.live.terminal import Terminal, usable

    terminal = None
    if usable(STDOUT, os.environ.get("TERM", "")):
        try:
            terminal = Terminal(STDOUT)
        except OSError as error:
            text = f"the terminal cannot be opened: {error.strerror}"
            log.warning(text)
    if terminal is None and not options.export_svg:
        log.note("stdout is no terminal that a table can be drawn on: here are lines instead")
        return watch(options, log, stop)

    from tracer.errors import ReaderGoneError
    from tracer.live.app import App
    from tracer.live.view import LiveView

    app = App(
        terminal,
        view=options.view,
        picture=options.export_svg,
        source=options.replay,
        speed=options.speed if options.replay else None,
    )
    view = LiveView(app, log, stop)
    from tracer.pipeline.select import Selection

    selection = Selection(options)
    try:
        if options.replay:
            from tracer.replay import replay

            return replay(options, selection, log, stop, view)
        from tracer.session import Session

        return Session(options, log, stop, selection, view).run()
    except ReaderGoneError:
        return stop.exit_code
    finally:
        app.leave()


STDOUT = 1
