#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write docs/api.md, the reference of the library, from signatures and docstrings.

Usage: gen_api.py [--check]

It reads the sources and imports none of them but the list of public names, so that the page is the same on every host.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Union

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pybpfload  # noqa: E402

PAGE = ROOT / "docs" / "api.md"
HEAD = """# API reference

<!-- written by tools/gen_api.py from the docstrings: change those -->

Names are those of `pybpfload`, unless a module stands before them. Everything that owns a file descriptor is a context
manager with a `close()` that may be called twice. [`pybpfload/errors.py`](../pybpfload/errors.py) draws how errors are
related.
"Kernel" says since which version, and by which commit.
"""
# Title, page, and the modules whose public names stand there; "" takes the rest.
PARTS = (
    ("Objects", "objects.md", ("objectspec", "loader", "object", "spec", "_sys.caps", "_sys.memory")),
    ("Programs", "programs.md", ("progs.",)),
    ("Maps", "maps.md", ("maps.", "listing")),
    ("Links", "links.md", ("links.",)),
    ("Readers", "readers.md", ("events", "ringbuf", "perfbuf", "userring")),
    ("Types", "objects.md", ("btf.", "targets")),
)
OTHERS = ("symbols.", "_sys.caps", "_sys.memory")
# Modules whose public names are not pybpfload's own, but belong to users too.
MODULES = {
    "Objects": ("spec",),
    "Maps": ("maps",),
    "Links": ("links",),
    "Other modules": ("features", "privilege", "symbols", "errors"),
}
# Classes that users make themselves.
MADE = ("LinkSet", "MapSpec", "PerfReader", "RingReader", "RunStats", "SymbolFile", "UserRing")
WIDTH = 110
SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:")

Definition = Union[ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef]


class Name(NamedTuple):
    """A public name, as the page calls it, and where it is defined."""

    shown: str
    name: str
    module: str


def tree_of(module: str) -> ast.Module:
    """The source of a module of the library."""
    path = ROOT / "pybpfload" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text())


def exports(module: str) -> Iterator[Name]:
    """The public names of a module, with the modules that define them."""
    origin = {name.name: name.module for name in imports(module)}
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            for name in ast.literal_eval(node.value):
                yield Name(f"{module}.{name}", name, origin.get(name, module))


def definition(name: Name) -> Definition | None:
    """The class or function; None for constants."""
    for node in tree_of(name.module).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name.name:
            return node
    return None


def bases(node: ast.ClassDef, module: str, listed: set[str]) -> tuple[list[str], list[ast.ClassDef]]:
    """The bases that have an entry, or are Python's; and those without, whose members are shown as the class's own."""
    known: list[str] = []
    parts: list[ast.ClassDef] = []
    for base in map(ast.unparse, node.bases):
        name = base.partition("[")[0]
        own = next((x for x in imports(module) if x.name == name), Name(name, name, module))
        found = definition(own)
        if name in listed or found is None:
            known += [base] if name != "Generic" else []
        elif isinstance(found, ast.ClassDef):
            parts.append(found)
            more, deeper = bases(found, own.module, listed)
            known += more
            parts += deeper
    return list(dict.fromkeys(known)), parts


def imports(module: str) -> Iterator[Name]:
    """What a module imports from others of the library."""
    for node in tree_of(module).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pybpfload."):
            for alias in node.names:
                yield Name(alias.name, alias.name, node.module.removeprefix("pybpfload."))


def parts(arguments: str) -> Iterator[str]:
    """What stands between the commas of an argument list."""
    depth, start = 0, 0
    for i, c in enumerate(arguments):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and not depth:
            yield arguments[start:i].strip()
            start = i + 1
    yield arguments[start:].strip()


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, *, method: bool) -> str:
    """Arguments and what comes back, in a block of code; one argument a line where they are many."""
    arguments = ast.unparse(node.args)
    each = [re.sub(r"(: [^=]+?)=", r"\1 = ", part) for part in parts(arguments)]
    each = each[1:] if method else each
    returns = f" -> {ast.unparse(node.returns)}".replace("'", "") if node.returns and node.name != "__init__" else ""
    text = f"{name}({', '.join(each)}){returns}"
    if len(text) > WIDTH:
        text = f"{name}(\n" + "".join(f"    {part},\n" for part in each) + f"){returns}"
    return f"```py\n{text}\n```\n"


def markdown(text: str) -> Iterator[str]:
    """The lines of a docstring as Markdown: its sections become lists, its examples code."""
    section, code, returns = False, False, False
    for line in text.replace("``", "`").splitlines():
        indented = line.startswith("    ")
        if code and line.strip() and not indented:
            yield "```"
            yield ""
            code = False
        if line.rstrip() == "::" or (line.endswith("::") and not section):
            yield line.rstrip(":")
            yield "```"
            code = True
        elif code:
            if line.strip() or section:
                yield line[4:]
        elif line in SECTIONS:
            yield f"*{line[:-1]}*"
            yield ""
            section, returns = True, line == "Returns:"
        elif section and indented:
            item = re.match(r"    ([\w, *]+?): (.*)", line)
            yield f"- `{item[1]}`: {item[2]}" if item and line[4] != " " else ("" if returns else "  ") + line.strip()
        else:
            section = section and not line.strip()
            yield line
    if code:
        yield "```"


def documented(node: Definition) -> str:
    """The docstring as Markdown, or nothing."""
    return "\n".join(markdown(inspect.cleandoc(ast.get_docstring(node) or ""))).strip()


def is_property(node: ast.FunctionDef) -> bool:
    """Whether it is read like an attribute."""
    return any(isinstance(x, ast.Name) and x.id == "property" for x in node.decorator_list)


def members(node: ast.ClassDef, parts: list[ast.ClassDef]) -> Iterator[str]:
    """Public methods and properties of the class and of what it is made of, each with its docstring."""
    shown: set[str] = set()
    for item in [item for each in (node, *parts) for item in each.body]:
        if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) or item.name.startswith("_"):
            continue
        if item.name in shown:
            continue
        if any(isinstance(x, ast.Attribute) and x.attr == "setter" for x in item.decorator_list):
            continue
        text = documented(item)
        if not text:
            continue  # of a protocol, or of the class that it comes from
        shown.add(item.name)
        yield f"#### {node.name}.{item.name}\n"
        if isinstance(item, ast.FunctionDef) and is_property(item):
            returns = f": {ast.unparse(item.returns)}" if item.returns else ""
            yield f"```py\n{node.name}.{item.name}{returns}\n```\n"
        else:
            bound = not any(isinstance(x, ast.Name) and x.id == "staticmethod" for x in item.decorator_list)
            yield signature(item, f"{node.name}.{item.name}", method=bound)
        yield f"{text}\n"


def entry(name: Name, listed: set[str]) -> Iterator[str]:
    """One name: heading, signature, docstring, members."""
    node = definition(name)
    if node is None or not documented(node):
        return
    yield f"### {name.shown}\n"
    if not isinstance(node, ast.ClassDef):
        yield signature(node, name.shown, method=False)
        yield f"{documented(node)}\n"
        return
    public, parts = bases(node, name.module, listed)
    fields = [f"\n    {ast.unparse(x)}" for x in node.body if isinstance(x, ast.AnnAssign) and "NamedTuple" in public]
    heading = f"class {name.shown}{'(' + ', '.join(public) + ')' if public else ''}"
    yield f"```py\n{heading}{':' if fields else ''}{''.join(fields)}\n```\n"
    yield f"{documented(node)}\n"
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__" and (documented(item) or name.name in MADE):
            yield signature(item, name.shown, method=True)
            yield f"{documented(item)}\n"
    yield from members(node, parts)


def page() -> str:
    """All of docs/api.md."""
    own = [Name(name, name, pybpfload._EXPORTS[name]) for name in pybpfload.__all__ if name in pybpfload._EXPORTS]
    seen = {name.name for name in own} | {"load_program", "FunctionKey"}
    lines = [HEAD]
    titles = [(title, link, modules) for title, link, modules in PARTS] + [("Other modules", "features.md", OTHERS)]
    lines.append("\n".join(f"- [{title}](#{title.lower().replace(' ', '-')})" for title, _, _ in titles) + "\n")
    others = {
        title: [x for m in modules for x in exports(m) if x.name not in seen] for title, modules in MODULES.items()
    }
    listed = {name.name for names in [own, *others.values()] for name in names}
    for title, link, modules in titles:
        lines.append(f"## {title}\n\nExplained in [{link}]({link}).\n")
        names = [name for name in own if name.module.startswith(modules)] + others.get(title, [])
        for name in sorted(names, key=lambda name: name.shown.lower()):
            lines += entry(name, listed)
    return "\n".join(lines)


def main() -> int:
    """Exit code 1 when --check finds another page."""
    parser = argparse.ArgumentParser(description="Write docs/api.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    text = page()
    if parser.parse_args().check:
        if PAGE.read_text() != text:
            print("docs/api.md is not what the docstrings say: run tools/gen_api.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
