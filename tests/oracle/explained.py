"""Differences from libbpf that are as they should be.

Each is explained in docs/decisions/2026-11-22-libbpf-differences.md, under its name.
"""

from __future__ import annotations

import re

EXPLAINED = {
    "legacy maps": r"only libbpf refuses the object: .*legacy map definitions in 'maps' section",
    "unused externs": r"only libbpf refuses the object: .*extern .*(not found in|not resolved)",
    "freplace": r"only libbpf refuses: .*attach program FD is not set",
}


def explanation(difference: str) -> str | None:
    """The name of what explains a difference, or None."""
    return next((name for name, text in EXPLAINED.items() if re.search(text, difference)), None)
