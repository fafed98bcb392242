"""The values of options."""

from __future__ import annotations

import argparse
import os

import pytest

from tracer import options
from tracer.options import GROUPS, ROWS


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("60", 60.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_seconds_takes_numbers(text, value):
    """Fractions too."""
    assert options.seconds(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "-0.1"])
def test_seconds_refuses_what_is_no_duration(text):
    """With what was expected."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number of seconds"):
        options.seconds(text)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1.5", "99999999999", "²", "1 2"])
def test_process_id_refuses_what_is_none(text):
    """With what was expected."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected a process id"):
        options.process_id(text)


def test_process_ids_takes_several():
    """With commas."""
    assert options.process_ids("1, 22,333") == [1, 22, 333]


def test_user_ids_takes_names_and_numbers():
    """Root is 0 everywhere."""
    assert options.user_ids("root,65533") == [0, 65533]


@pytest.mark.parametrize("text", ["", "no-such-user-here", "-1", str(2**32), "a\0b"])
def test_user_ids_refuses_what_is_none(text):
    """With what was expected."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected the name of a user"):
        options.user_ids(text)


def test_pattern_takes_any_bytes_but_nothing():
    """Also those that are no UTF-8, as the command line gives them."""
    name = os.fsdecode(b"\xff,*\n")
    assert options.pattern(name) == [name]
    with pytest.raises(argparse.ArgumentTypeError):
        options.pattern("")


def test_rows_have_groups_unique_flags_and_help():
    """The help, the man page and the completions are made of them."""
    flags = [flag for row in ROWS for flag in row.flags]
    assert len(set(flags)) == len(flags)
    assert all(row.help and row.group in GROUPS for row in ROWS)
    assert {row.flags[0] for row in ROWS if len(row.flags[0]) == 2} == {f"-{c}" for c in "pnlFofdvq"}
