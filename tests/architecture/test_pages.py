"""Command lines that users are shown are understood as they stand there, and the configuration file is read."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.support.sources import ROOT
from tracer import config
from tracer.catalog import filetypes, libraries
from tracer.cli import build_parser, complete
from tracer.commands import COMMANDS, load_command
from tracer.documents import DOCUMENTS
from tracer.model import KIND_BY_NAME
from tracer.options import OPTIONS
from tracer.sinks import SINKS

PAGES = [ROOT / "README.md", ROOT / "docs" / "commands.md", ROOT / "docs" / "troubleshooting.md"]
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text()
# In blocks with a prompt, and in running text.
LINE = re.compile(r"^\$ (?:sudo )?(?:\./)?crypto-tracer(?:\.pyz)? (.+)$|`crypto-tracer ([^`]+)`", re.MULTILINE)


def lines():
    for page in PAGES:
        for found in LINE.finditer(page.read_text()):
            yield found[1] or found[2]


@pytest.mark.parametrize("line", list(lines()))
def test_command_line_of_a_page_is_understood(line):
    """Up to the pipe; words in capitals stand for values."""
    words = shlex.split(line.partition(" | ")[0], comments=True)
    if "COMMAND" in words and words[0] == "COMMAND":
        words[0] = "monitor"
    rest = words[words.index("--") :] if "--" in words else []
    words = words[: len(words) - len(rest)]
    if words[-1] == "--help":
        words.pop()
    given = build_parser(words).parse_args([word for word in words if word != "..."])
    assert given.command in dict(COMMANDS)
    if not getattr(given, "pseudonyms", ""):
        complete(load_command(given.command), given)


def test_pages_have_enough_command_lines():
    """The test above looks at real ones."""
    assert len(list(lines())) > 12


def test_table_of_commands_has_all_of_them():
    """But for those that explain."""
    named = set(re.findall(r"^\| `([a-z]+)", COMMANDS_PAGE, re.MULTILINE))
    assert named == {name for name, _ in COMMANDS} - {"help", "version"}


def test_options_that_pages_name_exist():
    """With two dashes, of this program and no other."""
    others = {"--cap-add", "--security-opt", "--reuid", "--regid", "--clear-groups", "--inh-caps", "--ambient-caps"}
    others |= {"--bounding-set", "--help", "--version", "--password", "--token", "--format", "--init-groups"}
    own = {flag for option in OPTIONS.values() for flag in option.flags}
    for page in PAGES[1:]:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())) - others
        assert named - own - {"--pid"} == set(), page.name


def test_configuration_of_the_page_is_read(tmp_path):
    """Word for word, with all of its tables."""
    (block,) = re.findall(r"```toml\n(.*?)```", COMMANDS_PAGE, re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(block)
    tomllib = pytest.importorskip("tomllib", reason="comes with Python 3.11")
    assert config.read(str(path)) == tomllib.loads(block)
    found = config.read(str(path))
    kept = dict(filetypes.SUFFIXES), dict(filetypes.NAMES), filetypes.DIRECTORIES, dict(libraries._BY_NAME)
    try:
        assert config.options_of(found, str(path), ("format", "name")) == {
            "format": "json-lines",
            "name": ("nginx", "haproxy"),
        }
        assert config.extend_catalog(found, str(path)) == ("customer-x",)
        assert filetypes.file_type("/x/y.vault") == "keystore"
        assert libraries.find_library("/opt/libacmecrypto.so.1").family == "Acme"
    finally:
        for table, before in zip((filetypes.SUFFIXES, filetypes.NAMES, libraries._BY_NAME), (*kept[:2], kept[3])):
            table.clear()
            table.update(before)
        filetypes.DIRECTORIES = kept[2]
        libraries.find_library.cache_clear()


def test_what_the_c_tool_had_is_still_there():
    """Each command, option, format, event and member that the page for its users names."""
    page = (ROOT / "docs" / "from-the-c-tool.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (`.+) \|$", page.partition("## What behaves")[0], re.MULTILINE))
    named = {title: set(" ".join(re.findall(r"`([^`]+)`", text)).split()) for title, text in rows.items()}
    assert named["commands"] <= {name for name, _ in COMMANDS}
    own = {flag for option in OPTIONS.values() for flag in option.flags} | {"-h", "--help", "-V", "--version"}
    assert named["options"] <= own
    assert named["formats"] == set(SINKS)
    assert named["events"] <= set(KIND_BY_NAME)
    members = {member.name for document in DOCUMENTS for member in document.members}
    assert named["documents"] <= members
    new = set(re.findall(r"`(--[a-z-]+)", page))
    assert new <= own


def test_formats_of_the_page_are_all():
    """Issue and help name six, and so does the code."""
    assert set(SINKS) == {"json-stream", "json-lines", "json-array", "json-pretty", "summary", "csv"}
