# SPDX-License-Identifier: MIT
"""`crypto-tracer run -- COMMAND`: what a command and its children do, as one document."""

from __future__ import annotations

from tracer.commands import Command
from tracer.errors import UsageError
from tracer.options import SHOW
from tracer.sinks import DOCUMENT_FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:
    """Run the command, and write; returns its status.

    Raises:
        TracerError: with the exit code that fits.
    """
    if not options.rest:
        raise UsageError("run: no command", hint="crypto-tracer run -- COMMAND ARGUMENTS")
    from tracer.child import Child
    from tracer.pipeline.select import Selection
    from tracer.session import Session, has_terminal
    from tracer.view import RunView

    with Child(options.rest) as child:
        options.pid, options.name, options.uid, options.cgroup, options.container = (child.pid,), (), (), (), ()
        options.follow_children, options.replay, options.duration = True, "", 0.0
        view = RunView(child.release)
        session = Session(options, log, stop, Selection(options), view, whole_tree=False)
        child.forward_signals(has_terminal)
        session.run()
        return child.wait()


COMMAND = Command(
    "run",
    description="Run a command, and write one document of what it and its children did. Exits with its status.",
    options=("library", "file", *SHOW, "token_fs", "record", "deep", "config"),
    run=run,
    own={"format": "json-pretty"},
    formats=DOCUMENT_FORMATS,
    rest=("[--] COMMAND ...", "the command and its arguments", "..."),
    examples=(
        ("sudo crypto-tracer run -o profile.json -- make test", "what a build does"),
        ("sudo crypto-tracer run -f summary -- curl -sI https://localhost", "for people"),
        ("sudo crypto-tracer run -q -o p.json -- ./job", "in CI; then: jq .libraries p.json"),
    ),
)
