"""The name that somebody may have meant; and text that may be shown."""

from __future__ import annotations

from pybpfload.closest import MAX_LENGTH, MAX_NAMES, closest
from pybpfload.errors import MAX_SHOWN, ObjectError, printable


def test_closest_finds_the_most_similar():
    """A letter too few, too many, or another."""
    names = ["task_struct", "task_group", "mm_struct", "file"]
    assert closest("task_strukt", names) == "task_struct"
    assert closest("fil", names) == "file"
    assert closest("quite_another", names) == ""


def test_closest_among_many_names_still_finds_those_that_begin_alike():
    """Only so many are compared; those with the same first letters come first."""
    names = [f"zz{i:09}" for i in range(MAX_NAMES * 2)]
    assert closest("sched_proces", [*names, "sched_process"]) == "sched_process"


def test_closest_of_long_names_is_none():
    """Comparing them would take the square of their length."""
    long = "a" * (MAX_LENGTH + 1)
    assert closest(long, [long]) == ""
    assert closest("a", [long, "a" * 1_000_000]) == ""


def test_printable_escapes_and_cuts():
    """Neither control characters nor a megabyte reach a terminal."""
    assert printable("a\x1b[31m\n") == "a\\x1b[31m\\n"
    assert printable("é") == "é"
    assert len(printable("x" * 1_000_000)) == MAX_SHOWN + 3
    assert str(ObjectError("\x1b" * 1_000_000)).endswith("\\x1b...")
