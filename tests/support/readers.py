"""What the tests of readers share: objects that send when they are told to, and records made by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import pybpfload
from pybpfload.features import FEATURES, has
from tests.support.objects import read


def send(count: int) -> None:
    """So many getpgid(2), which the objects take as their sign."""
    for _ in range(count):
        os.getpgid(0)


def need(feature: str) -> None:
    """Skips where the kernel lacks a feature."""
    if not has(feature):
        pytest.skip(f"this kernel has no {FEATURES[feature].title}")


@contextmanager
def attached(name: str, **variables: object) -> Iterator[pybpfload.BpfObject]:
    """An object of tests/data that watches this process."""
    spec = read(name)
    spec.variables.update({"targ_tgid": os.getpid(), **variables})
    with pybpfload.load(spec) as obj, obj.attach_all():
        yield obj


@contextmanager
def one_cpu(number: int) -> Iterator[None]:
    """This thread runs on one CPU alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
