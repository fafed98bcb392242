#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write docs/events.md and share/crypto-tracer.schema.json from the tables of events and documents.

Usage: gen_events.py [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tracer.documents import DOCUMENTS, Member
from tracer.model import ARRAY, KINDS, Column
from tracer.schema import schema
from tracer.sinks import SINKS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "events.md"
SCHEMA = ROOT / "share" / "crypto-tracer.schema.json"

HEAD = """\
# Events and documents

What crypto-tracer prints, member by member. `crypto-tracer schema` prints the same as a JSON Schema, and every output
in the tests is checked against it. `tools/gen_events.py` writes this page.

Members may be added in any version; none goes, or changes what it means, without a new major version.

**Text** can hold any bytes: names of files do. JSON has what is no UTF-8 as lone surrogates (`\\udcff` for the byte
0xff), as Python's `surrogateescape` has it: `os.fsencode` gives the bytes back. jq reads them as U+FFFD. All output is
ASCII, and control characters are always escapes.

**CSV** has the same escapes in its cells, and a backslash is `\\\\`. A cell that a spreadsheet would take for a formula
begins with an escape (`\\u003d` for `=`). In Python,
`json.loads('"' + cell.replace('"', '\\\\"') + '"')` gives the text back.

**Private** parts are hidden before anything is written, unless `--no-redact` is given: `/home/USER/`, `--password=***`.
"""


def formats() -> Iterator[str]:
    """The table of formats."""
    yield "## Formats\n"
    yield "| `--format` | gives |\n|---|---|"
    for name, sink in SINKS.items():
        yield f"| `{name}` | {sink[2]} |"
    yield ""


def rows(members: Iterable[Column | Member], before: str = "") -> Iterator[str]:
    """A row for each member, those of objects inside too."""
    for member in members:
        kind = member.type + (" or null" if member.nullable else "")
        path = before + member.name
        if isinstance(member, Column) and member.type == ARRAY:
            path += "[]"
            kind = "array of strings" + (" or null" if member.nullable else "")
        if isinstance(member, Member) and member.type == "array":
            path += "[]"
            kind = f"array of {member.items or 'object'}s"
        yield f"| `{path}` | {kind} | {member.doc.replace('``', '`')} |"
        if isinstance(member, Member):
            yield from rows(member.members, path + ".")


def page() -> str:
    """The page."""
    parts = [HEAD, *formats(), "## Events\n"]
    for kind in KINDS:
        if not kind.hidden:
            parts += [f"### {kind.name}\n", f"{kind.doc}\n", "| member | type | meaning |\n|---|---|---|"]
            parts += [f"| `event_type` | string | `{kind.name}` |", *rows(kind.columns), ""]
    parts.append("## Documents\n")
    for document in DOCUMENTS:
        parts += [f"### {document.name}\n", f"{document.doc}\n", "| member | type | meaning |\n|---|---|---|"]
        parts += [*rows(document.members), ""]
    return "\n".join(parts).rstrip("\n") + "\n"


def main() -> int:
    """Returns the exit status: 1 when a check finds a file stale."""
    made = {PAGE: page(), SCHEMA: json.dumps(schema(), indent=2) + "\n"}
    if "--check" in sys.argv[1:]:
        stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
        for path in stale:
            print(f"gen_events: {path.relative_to(ROOT)} is stale: run tools/gen_events.py", file=sys.stderr)
        return int(bool(stale))
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
