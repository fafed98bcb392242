"""docs/troubleshooting.md quotes messages that exist, and has all that come with a hint."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.sources import ROOT
from tracer import errors

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
# Calls that say something to the user, by the name of the function.
SAYERS = re.compile(r"[A-Z]\w*Error|error|warning|note|detail")


def fragments(node):
    """The fixed parts of a text, in their order; what differs lies between them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant)]
    return []


def texts():
    """The fixed parts of each text in the program, and whether it is a message with a hint of its own."""
    for path in sorted((ROOT / "tracer").rglob("*.py")):
        tree = ast.parse(path.read_text())
        hinted = set()
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if SAYERS.fullmatch(name) and call.args and any(word.arg == "hint" for word in call.keywords):
                hinted.add(call.args[0])
        for node in ast.walk(tree):
            parts = fragments(node)
            if parts:
                yield parts, node in hinted, f"{path.name}:{node.lineno}"


TEXTS = list(texts())


def quoted():
    """The messages of the page: the code in the first column of its tables."""
    for line in PAGE.splitlines():
        cell = line.split("|")[1] if line.startswith("| `") else ""
        found = re.match(r" `([^`]+)`", cell)
        if found:
            yield found[1]


@pytest.mark.parametrize("message", list(quoted()))
def test_message_of_the_page_exists(message):
    """Its fixed parts stand in one text of the program, in their order."""
    wanted = [part.strip() for part in re.split("…", message) if part.strip(" :.,;`()")]
    assert wanted, message

    def has(parts):
        text, at = "\0".join(parts), 0
        for part in wanted:
            at = text.find(part, at)
            if at < 0:
                return False
        return True

    # What is put together of two texts, such as the words behind the name of an option, is found in parts.
    everything = [part for parts, _, _ in TEXTS for part in parts]
    assert any(has(parts) for parts, _, _ in TEXTS) or all(any(w in each for each in everything) for w in wanted)


@pytest.mark.parametrize(("parts", "where"), [(parts, where) for parts, hinted, where in TEXTS if hinted])
def test_message_with_a_hint_is_on_the_page(parts, where):
    """By its longest fixed part."""
    longest = max(parts, key=len).strip(" :;,`")
    assert longest in PAGE or longest.split("; ")[0] in PAGE, f"{where}: {longest}"


@pytest.mark.parametrize("name", ["TracerError", "UsageError", "NoPrivilegeError", "KernelError", "LoadError"])
def test_each_exit_code_has_a_part_of_the_page(name):
    """And success and the signals as well."""
    assert f"\n## {getattr(errors, name).exit_code}: " in PAGE
    assert "\n## 0: " in PAGE
    assert "\n## 130 and 143: " in PAGE


def test_the_checks_can_fail():
    """They look at real texts."""
    assert sum(hinted for _, hinted, _ in TEXTS) > 10
    with pytest.raises(AssertionError):
        test_message_of_the_page_exists("no such … message at all")
