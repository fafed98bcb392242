"""Differences from libbpf that are as they should be.

Each is explained in docs/decisions/2026-11-22-libbpf-differences.md, under its name.
"""

from __future__ import annotations

import re

EXPLAINED = {
    "undefined symbols": r"only libbpf refuses the object: .*nowhere",
    "legacy maps": r"only libbpf refuses the object: .*(legacy map|bad map relo).* in (section )?'maps",
    "static functions": r"only libbpf refuses the object: .* is static and not supported",
    "unused externs": r"only libbpf refuses the object: .*extern .*(not found in|not resolved)",
    "freplace": r"only we refuse: .*load\(\) has to know whose function",
    "uprobes": r"attach_type is 48, of libbpf 0",
    "uprobe sessions": r"`session`: (type is 2, of libbpf 1|attach_type is 57, of libbpf 0)",
}


def explanation(difference: str) -> str | None:
    """The name of what explains a difference, or None."""
    return next((name for name, text in EXPLAINED.items() if re.search(text, difference)), None)
