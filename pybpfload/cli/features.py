"""``features``: what the running kernel can do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any, TextIO

from pybpfload.cli.command import Command, complain, table, terminal_width, wrapped, write_json
from pybpfload.features import FEATURES, ask, has, helper_names
from pybpfload.privilege import hindrances, read_privileges

__all__ = ["COMMAND"]

# What the part of a row's name before the colon stands for; behaviours have none.
GROUPS = {"": "behaviour", "prog": "program types", "map": "map types", "link": "links", "attach": "attach types"}
NEEDED = ("map:array", "prog:socket_filter")  # who may not do this may do nothing


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these rows: perf_link, map:ringbuf")
    parser.add_argument("--helpers", action="store_true", help="the helpers of each program type too; --json has them")


def _run(arguments: argparse.Namespace, out: TextIO) -> int:
    unknown = [name for name in arguments.names if name not in FEATURES]
    if unknown:
        complain(f"no feature `{unknown[0]}`; without names, all are shown")
        return 2
    document = describe(
        arguments.names or FEATURES, helpers=(arguments.json or arguments.helpers) and not arguments.names
    )
    if arguments.json:
        write_json(out, document)
    else:
        out.writelines(f"{line}\n" for line in _lines(document))
    if arguments.names:
        return int(not all(row["supported"] for row in document["features"].values()))
    if not any(has(name) for name in NEEDED):
        complain("this process may not use bpf(2): nothing can be told")
        for hint in hindrances("BPF_PROG_LOAD"):
            complain(f"hint: {hint}")
        return 1
    return 0


COMMAND = Command("features", "what the running kernel can do, found out by trying it", _configure, _run)


def describe(names: Any, *, helpers: bool) -> dict[str, Any]:
    """All answers, ready for JSON."""
    now = read_privileges()
    document: dict[str, Any] = {
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "privileges": now._asdict() | {"capabilities": hex(now.capabilities)},
        "features": {},
    }
    for name in names:
        row, answer = FEATURES[name], ask(name)
        document["features"][name] = {
            "title": row.title,
            "since": row.since or None,
            "supported": answer.supported,
            "reason": answer.reason or None,
        }
    if helpers:
        found: dict[str, list[str]] = {}
        for name in helper_names():
            _, type_name, helper = name.split(":")
            found.setdefault(type_name, [])
            if has(name):
                found[type_name].append(helper)
        document["helpers"] = found
    return document


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"Linux {document['kernel']} {document['machine']}"
    for group, title in GROUPS.items():
        rows = [
            (
                name.rpartition(":")[2],
                "yes" if row["supported"] else "no",
                row["since"] or "",
                row["title"] if group == "" else "",
                "" if row["supported"] else row["reason"] or "",
            )
            for name, row in document["features"].items()
            if name.rpartition(":")[0] == group
        ]
        if rows:
            yield ""
            yield f"{title}: {sum(1 for row in rows if row[1] == 'yes')} of {len(rows)}"
            yield from table(rows, width=terminal_width(), indent="  ")
    for type_name, helpers in document.get("helpers", {}).items():
        yield ""
        yield from wrapped(f"{type_name}: {len(helpers)} helpers: ", helpers, terminal_width())
