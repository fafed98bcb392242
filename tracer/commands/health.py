# SPDX-License-Identifier: MIT
"""`crypto-tracer health`: whether a tracer that serves metrics is well, for those who have no HTTP client at hand."""

from __future__ import annotations

from tracer.commands import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.stop import Stop


def run(options: Namespace, log: Log, stop: Stop) -> int:  # noqa: ARG001  as the others
    """Ask, and tell.

    Raises:
        TracerError: nobody answers, or the answer is that it is not well.
        UsageError: there is no such question.
    """
    from tracer.health import QUESTIONS, ask

    say: int = options.say(ask(options.metrics, options.rest or list(QUESTIONS)) + "\n")
    return say


COMMAND = Command(
    "health",
    description="Ask a tracer that was started with --metrics whether it is live and ready. Exits with 0 if so.",
    options=("metrics", "config"),
    run=run,
    own={"metrics": ("127.0.0.1", 9477)},
    rest=("[live|ready]", "what to ask; both if nothing is said", "*"),
    examples=(
        ("crypto-tracer health", "for HEALTHCHECK and probes of kind exec"),
        ("crypto-tracer health live --metrics 127.0.0.1:9500", "another port"),
    ),
)
