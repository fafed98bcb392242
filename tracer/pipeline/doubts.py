# SPDX-License-Identifier: MIT
"""Filters that can match nothing: better said at the start than found out after an hour."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tracer.catalog import filetypes
from tracer.catalog.libraries import names
from tracer.pipeline.patterns import NAME_SIZE, NOTHING, WILD, is_pattern, why_no_file

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

# What ids and names of containers are made of: see tracer.proc.container.
_ID = re.compile(r"[A-Za-z0-9_.\-:\\]{1,128}")


def doubts(options: Namespace) -> Iterator[str]:
    """What to tell the user of each filter that cannot match."""
    for option, values, why in (
        ("name", options.name, why_no_name),
        ("file", options.file, why_no_file),
        ("library", options.library, why_no_library),
        ("container", options.container, why_no_container),
    ):
        for value in values:
            reason = why(value)
            if reason:
                yield f"--{option} {value}: {reason}"
    for path in () if getattr(options, "replay", "") else options.file:
        if path.startswith("/") and not why_no_file(path) and not filetypes.file_type(path) and os.path.isfile(path):
            yield f"--file {path}: {NOTHING}: it is a file, and neither its name nor its directory is known"


def why_no_name(pattern: str) -> str:
    """Why no thread can have such a name, or ""."""
    # A set in brackets stands for one byte, and a star for none.
    shortest = re.sub(r"\[[^]]+\]", "?", pattern).replace("*", "") if is_pattern(pattern) else pattern
    if len(os.fsencode(shortest)) > NAME_SIZE:
        return f"{NOTHING}: no thread has a name of more than {NAME_SIZE} bytes"
    return ""


def why_no_library(pattern: str) -> str:
    """Why no library that is reported can match, or hardly any; "" if some can.

    Only what is plainly meant as the name of a library is judged: executables have calls, too, and a word may be part
    of a path.
    """
    if "/" in pattern or not pattern.startswith("lib"):
        return ""
    wild = is_pattern(pattern)
    begins = (WILD.split(pattern)[0] if wild else pattern).partition(".so")[0]
    if any(begins.startswith(name) or name.startswith(begins) or (not wild and begins in name) for name in names()):
        return ""
    why = "the catalog has no library of such a name; --config can add some"
    return f"{NOTHING}: {why}" if wild else f"{NOTHING} but parts of directories' names: {why}"


def why_no_container(pattern: str) -> str:
    """Why no container can have such an id, or ""."""
    if is_pattern(pattern) or _ID.fullmatch(pattern):
        return ""
    return f"{NOTHING}: ids of containers have letters, digits, and _.- only"
