# SPDX-License-Identifier: MIT
"""Writes a document: one JSON object, in the form that the format says, or as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tracer.sinks.values import escaped

if TYPE_CHECKING:
    from tracer.sinks.output import Output


def write_document(
    output: Output, format: str, document: dict[str, Any], summary: Callable[[dict[str, Any]], Iterable[str]]
) -> None:
    """Write it.

    Args:
        format: one of `tracer.sinks.DOCUMENT_FORMATS`.
        summary: makes the lines of the text, which are escaped here.

    Raises:
        OutputError: the output takes it not.
    """
    if format == "summary":
        output.write_text("".join(f"{escaped(line)}\n" for line in summary(document)))
    elif format == "json-array":
        output.write_text("[\n" + json.dumps(document) + "\n]\n")
    elif format == "json-pretty":
        output.write_text(json.dumps(document, indent=2) + "\n")
    else:
        output.write_text(json.dumps(document, separators=(",", ":")) + "\n")
