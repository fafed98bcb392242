"""`pytest --support-log FILE`: what tests with the mark `uses` saw of this kernel, as JSON lines.

The first line names the kernel. Then each such test has a line for each feature that it uses: ``outcome`` is
"yes"; "no", with what the kernel said; "skipped", when the test needs something else that is missing; or "failed".
With ``--collect-only`` it is "collected". Tests that record properties have a line for those.
tools/gen_support.py makes docs/support.md of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import pytest

from pybpfload import features
from pybpfload.kconfig import kernel_version


def add_option(parser: pytest.Parser) -> None:
    """The option, for pytest_addoption."""
    parser.addoption("--support-log", type=Path, metavar="FILE", help="write what tests saw of this kernel")


def register(config: pytest.Config) -> None:
    """Start the log, if it is asked for; for pytest_configure."""
    path = config.getoption("--support-log")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        config.pluginmanager.register(SupportLog(path.open("w")))


def used(item: pytest.Item) -> list[str]:
    """The features that a test uses."""
    return [name for mark in item.iter_markers("uses") for name in mark.args]


class SupportLog:
    """Writes the log, test by test: what was seen before a crash is there."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        version = kernel_version()
        self._write(kernel=f"{version >> 16}.{version >> 8 & 255}.{version & 255}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        """Wait for all three phases of the test."""
        self._failed, self._skipped, self._properties = False, "", []
        yield
        for name in used(item):
            outcome, reason = self._outcome(name)
            self._write(feature=name, test=item.nodeid, outcome=outcome, reason=reason)
        for name, value in self._properties:
            self._write(property=name, test=item.nodeid, value=value)
        return True

    def pytest_runtest_logreport(self, report):
        """Setup, call and teardown of the test."""
        self._failed |= report.failed
        if report.skipped:
            self._skipped = report.longrepr[2]
        if report.when == "teardown":
            self._properties = report.user_properties

    def pytest_collection_finish(self, session):
        """Where tests are only listed, the list."""
        if session.config.option.collectonly:
            for item in session.items:
                for name in used(item):
                    self._write(feature=name, test=item.nodeid, outcome="collected", reason="")

    def pytest_unconfigure(self):
        """The end."""
        self._file.close()

    def _outcome(self, name: str) -> tuple[str, str]:
        if self._failed:
            return "failed", ""
        if not self._skipped:
            return "yes", ""
        if not features.has(name):
            return "no", features.ask(name).reason
        return "skipped", self._skipped.removeprefix("Skipped: ")

    def _write(self, **row: object) -> None:
        print(json.dumps(row), file=self._file, flush=True)
