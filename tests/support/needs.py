"""Kernel tests that only some kernels can run: they say which features of the library's table they need.

    from tests.support.needs import needs

    @needs("map:arena", "kfunc")
    def test_...

A kernel that lacks one skips the test and says which; no test compares versions. A whole file:
``pytestmark = [pytest.mark.kernel, needs("tcx")]``. Within a test: ``need("tcx")``.

A test that uses a type of map, program or link for real says so: ``@uses("map:hash", "prog:xdp")``. It needs
them, and what came of it is a cell of docs/support.md (tests/support/support_log.py).
"""

from __future__ import annotations

import pytest

from pybpfload import features


def needs(*names: str) -> pytest.MarkDecorator:
    """A mark: the test skips unless the kernel has all these features.

    A name that the table does not have is an error at once: such a test would never run.
    """
    return _mark(pytest.mark.needs, names)


def uses(*names: str) -> pytest.MarkDecorator:
    """A mark: the test shows that these features work. Without them it skips."""
    return _mark(pytest.mark.uses, names)


def _mark(mark: pytest.MarkDecorator, names: tuple[str, ...]) -> pytest.MarkDecorator:
    for name in names:
        features.find(name)
    return mark(*names)


def need(*names: str) -> None:
    """Skip the running test unless the kernel has all these features."""
    reason = _why_not(names)
    if reason:
        pytest.skip(reason)


def missing(node: pytest.Item) -> str | None:
    """Why a test cannot run on this kernel, or None when it can."""
    return _why_not([name for kind in ("needs", "uses") for mark in node.iter_markers(kind) for name in mark.args])


def _why_not(names: list[str] | tuple[str, ...]) -> str | None:
    for name in names:
        if not features.has(name):
            row, reason = features.find(name), features.ask(name).reason
            since = f" (Linux {row.since})" if row.since else ""
            return f"this kernel lacks: {row.title}{since}: feature {name}{': ' + reason if reason else ''}"
    return None
