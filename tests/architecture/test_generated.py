"""What is made from the code and committed is what the code makes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.gates import require_tool
from tests.support.sources import ROOT
from tracer.commands import COMMANDS

BASH = ROOT / "share" / "bash-completion" / "completions" / "crypto-tracer"


@pytest.mark.parametrize("tool", ["tools/gen_cli.py", "tools/gen_events.py"])
def test_generated_files_are_fresh(tool):
    """Run the tool, and commit what it writes."""
    done = subprocess.run([sys.executable, ROOT / tool, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def complete(words):
    """What bash offers for the last word."""
    bash = require_tool("bash")
    script = f"""
source {BASH}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
function_name=$(complete -p crypto-tracer | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function_name crypto-tracer '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands_options_and_values():
    """In a real shell."""
    assert set(complete(["crypto-tracer", ""])) >= {name for name, _ in COMMANDS}
    assert "--follow-children" in complete(["crypto-tracer", "monitor", "--f"])
    assert complete(["crypto-tracer", "monitor", "--format", "cs"]) == ["csv"]


def test_man_page_has_no_error():
    """Read by the reader of man pages."""
    man = require_tool("man")
    page = ROOT / "share" / "man" / "man1" / "crypto-tracer.1"
    done = subprocess.run([man, "--warnings", "-l", page], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in done.stdout
