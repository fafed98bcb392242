"""`python -m pybpfload` within the test's process."""

from __future__ import annotations

import json
from typing import Any

from pybpfload.cli import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pytest


class Result:
    """What a command wrote, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        """Of stdout."""
        return self.out.splitlines()

    @property
    def document(self) -> Any:
        """Stdout as one JSON document, without NaN."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is no JSON")

        return json.loads(self.out, parse_constant=refuse)

    def row(self, first: str) -> list[str]:
        """The words of the line that begins with one."""
        found = [line.split() for line in self.lines if line.split()[:1] == [first]]
        assert len(found) == 1, f"{len(found)} lines begin with {first}:\n{self.out}"
        return found[0]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run a command; nothing but its exit code may come out of it."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return Result(code, captured.out, captured.err)
