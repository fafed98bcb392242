#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write docs/support.md: what the kernel tests saw of each kernel.

A log is what `pytest --support-log` wrote, named like its kernel: 5.10.jsonl. What it has takes the place of what
docs/support.json has of that kernel; the page is made of that file. Of tests with the mark `uses` alone
(make kernel-test ARGS="-m uses") there is no new count of libbpf-tools: the old one stays.

Usage: gen_support.py [--check] [LOG...]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pybpfload.uapi import LinkType, MapType, ProgType

ROOT = Path(__file__).resolve().parent.parent
PAGE, DATA = ROOT / "docs" / "support.md", ROOT / "docs" / "support.json"
GROUPS = {"map": ("Maps", MapType), "prog": ("Programs", ProgType), "link": ("Links", LinkType)}
# Types that no test uses, and why.
EXCEPTIONS = {
    "prog:lirc_mode2": "wants an infrared receiver",
}
KERNELS = ("5.10", "6.1", "6.12", "this", "newest")
# The best that any test of a feature saw.
RANKS = ("failed", "yes", "no", "skipped")
LOADED, OURS = "loaded by libbpf", "loaded by us"

HEAD = """\
# What works where

Each cell is what tests saw that used the feature for real, on that kernel: a map's values went in and came out, a
program ran, a link let its program run until it was closed. A "no" comes with what the kernel said, and often is its
configuration: the kernels are Debian's small ones for clouds, and that of one host. What the library does there
instead stands in [features](features.md).

`make kernel-test` runs the tests, and `tools/gen_support.py` writes this page of their logs (`docs/support.json`).
"""


def read_log(path: Path) -> dict[str, Any]:
    """What a log says of its kernel."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    seen: dict[str, list[dict[str, str]]] = {}
    found: dict[str, Any] = {"version": rows[0]["kernel"], "features": {}}
    for row in rows:
        if "feature" in row:
            seen.setdefault(row["feature"], []).append(row)
        elif row.get("property") == "libbpf_tools":
            found["libbpf_tools"] = row["value"]
    for feature, tried in sorted(seen.items()):
        best = min(tried, key=lambda row: RANKS.index(row["outcome"]))
        found["features"][feature] = cell(best["outcome"], best["reason"])
    return found


def cell(outcome: str, reason: str) -> str:
    """A short text: "yes", "no: Invalid argument"."""
    if outcome == "skipped":
        missing = re.search(r": feature (\S+)", reason)
        return f"not tried: needs {missing[1].rstrip(':')}" if missing else f"not tried: {reason}"
    # The kernel's own words come last, behind the call.
    words = re.sub(r"^\[Errno \d+\] |: '.*'$", "", reason).rpartition(": ")[2]
    return f"{outcome}: {words}" if words else outcome


def page(kernels: dict[str, dict[str, Any]]) -> str:
    """The page."""
    names = [name for name in KERNELS if name in kernels]
    parts = [HEAD]
    for group, (title, types) in GROUPS.items():
        rows = [f"{group}:{kind.name.lower()}" for kind in types if kind]
        parts.append(table(title, rows, names, kernels))
    parts.append(tools(names, kernels))
    return "\n".join(parts)


def table(title: str, rows: list[str], names: list[str], kernels: dict[str, dict[str, Any]]) -> str:
    """A table of features."""
    heads = [kernels[name]["version"] for name in names]
    lines = [f"## {title}\n", f"| {title.lower()} | {' | '.join(heads)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        other = f"not tried: {EXCEPTIONS[row]}" if row in EXCEPTIONS else "?"
        cells = [kernels[name]["features"].get(row, other) for name in names]
        lines.append(f"| `{row.partition(':')[2]}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def tools(names: list[str], kernels: dict[str, dict[str, Any]]) -> str:
    """The programs of a whole collection."""
    lines = [
        "## The programs of libbpf-tools\n",
        "Debian's package libbpf-tools, each program of each tool alone, by libbpf and by us. What the kernel refuses",
        "to one, it refuses to the other with the same errno. libbpf itself gives up with ESRCH where a kernel has no",
        "function or type of that name; we say so in words.\n",
        "| kernel | programs | loaded by libbpf | loaded by us | refused by both |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        counts = dict(kernels[name].get("libbpf_tools", {}))
        if counts:
            ours, every, theirs = counts.pop(OURS), sum(counts.values()), counts.pop(LOADED, 0)
            refused = ", ".join(f"{count} {verdict.partition(' ')[2]}" for verdict, count in sorted(counts.items()))
            lines.append(f"| {kernels[name]['version']} | {every} | {theirs} | {ours} | {refused} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Returns the exit status: 1 when a check finds the page stale."""
    kernels = json.loads(DATA.read_text()) if DATA.exists() else {}
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text() != page(kernels))
    for log in map(Path, sys.argv[1:]):
        kernels[log.stem] = {**kernels.get(log.stem, {}), **read_log(log)}
    DATA.write_text(json.dumps(kernels, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(kernels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
