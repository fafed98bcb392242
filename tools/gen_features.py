#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the tables of docs/features.md from the rows of pybpfload/features, or check that they are fresh.

Usage: gen_features.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pybpfload.features import FEATURES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "features.md"
BEGIN, END = "<!-- rows: tools/gen_features.py -->\n", "<!-- end of rows -->\n"
TITLES = {
    "": "Behaviours", "prog": "Program types", "map": "Map types", "link": "Links", "attach": "Attach types",
}  # fmt: skip


def tables() -> str:
    """The tables in Markdown."""
    parts = []
    for group, title in TITLES.items():
        rows = {name: row for name, row in FEATURES.items() if name.rpartition(":")[0] == group}
        if group == "attach":
            names = ", ".join(f"`{name}`" for name in rows)
            parts.append(f"### {title} ({len(rows)})\n\n{names}\n")
            continue
        lines = [f"| `{name}` | {row.title} | {row.since} |" for name, row in rows.items()]
        parts.append(f"### {title} ({len(rows)})\n\n| name | what | since |\n|---|---|---|\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def page(text: str) -> str:
    """The page with new tables."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{tables()}\n{END}{tail}"


def main() -> int:
    """Returns the exit status: 1 when a check finds the page stale."""
    old = PAGE.read_text()
    new = page(old)
    if "--check" in sys.argv[1:]:
        return int(old != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
