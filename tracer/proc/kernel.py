# SPDX-License-Identifier: MIT
"""What the kernel says of its own cryptography."""

from __future__ import annotations

from typing import Any

MAX_BYTES = 1 << 20


def fips_enabled(path: str = "/proc/sys/crypto/fips_enabled") -> bool | None:
    """Whether the kernel is in FIPS mode; None if it was built without."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == "1"
    except (OSError, ValueError):
        return None


def algorithms(path: str = "/proc/crypto") -> list[dict[str, Any]]:
    """The algorithms that are registered, as the snapshot has them."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(MAX_BYTES)
    except OSError:
        return []
    found = []
    for block in text.split("\n\n"):
        parts = (line.partition(":") for line in block.splitlines())
        rows = {name.strip(): value.strip() for name, _, value in parts}
        if "name" in rows:
            found.append(
                {
                    "name": rows["name"],
                    "driver": rows.get("driver", ""),
                    "module": rows.get("module", ""),
                    "type": rows.get("type", ""),
                    "priority": _number(rows.get("priority", "")),
                    "in_use": _number(rows.get("refcnt", "")) > 1,
                }
            )
    return sorted(found, key=lambda row: (row["name"], -row["priority"], row["driver"]))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
