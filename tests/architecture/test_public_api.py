"""The library's face changes only on purpose: public_api.txt is the list that a change has to touch."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import pybpfload

SNAPSHOT = Path(__file__).with_name("public_api.txt")
NAMES = [line for line in SNAPSHOT.read_text().splitlines() if line and not line.startswith("#")]


def test_public_api_is_the_snapshot():
    """`__all__` and the list name the same, in the same order: sorted."""
    assert sorted(pybpfload.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_public_name_exists_and_is_documented(name):
    """Lazy re-exports resolve, show in dir(), and say what they are."""
    value = getattr(pybpfload, name)
    assert name in dir(pybpfload)
    if inspect.ismodule(value) or callable(value):
        assert (inspect.getdoc(value) or "").strip()


def test_unknown_public_name_is_an_attribute_error():
    """The lazy face answers a typing error like any module does."""
    with pytest.raises(AttributeError, match="no_such_name"):
        pybpfload.no_such_name  # noqa: B018
