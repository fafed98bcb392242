"""The presentation table and the formatters it names."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer import model, texts

ARGUMENT = st.text(st.characters(exclude_characters="\0"), max_size=12)


def test_kinds_have_unique_names_and_columns():
    """A kind is found by its name, and JSON objects have no member twice."""
    assert len(model.KIND_BY_NAME) == len(model.KINDS)
    for kind in model.KINDS:
        names = [column.name for column in kind.columns]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", model.KINDS, ids=lambda kind: kind.name)
def test_kind_begins_with_the_names_of_the_c_tool(kind):
    """Scripts written for the C tool read these from every event."""
    assert [c.name for c in kind.columns[:5]] == ["timestamp", "pid", "uid", "process", "exe"]


@pytest.mark.parametrize("column", {c for kind in model.KINDS for c in kind.columns}, ids=lambda c: c.name)
def test_column_is_documented_by_one_sentence(column):
    """The documentation of events is made from these."""
    assert column.doc.endswith(".")
    assert column.type in {model.INTEGER, model.STRING, model.BOOLEAN, model.ARRAY}


@pytest.mark.parametrize(("number", "name"), [(0, None), (2, "ENOENT"), (13, "EACCES"), (9999, "9999")])
def test_errno_name(number, name):
    """Success has no name, an unknown number stays readable."""
    assert texts.errno_name(number) == name


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, None), (9, "SIGKILL"), (34, "SIGRTMIN"), (36, "SIGRTMIN+2"), (64, "SIGRTMAX"), (99, "SIG99")],
)
def test_signal_name(number, name):
    """Real-time signals have no names of their own; what the kernel never sends stays readable."""
    assert texts.signal_name(number) == name


@given(st.lists(ARGUMENT, min_size=1))
def test_command_line_splits_back_into_its_arguments(arguments):
    """Quoting loses nothing, whatever is in an argument."""
    assert shlex.split(texts.command_line(tuple(arguments))) == arguments


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("openssl", "s_client", "-connect", "host:443"), "openssl s_client -connect host:443"),
        (("curl", "https://host/?a=1&b=*"), "curl https://host/?a=1&b=*"),
        (("sh", "-c", "echo $HOME"), "sh -c 'echo $HOME'"),
        (("printf", "", "it's"), "printf '' 'it'\"'\"'s'"),
        ((), ""),
    ],
)
def test_command_line_quotes_only_what_needs_it(arguments, line):
    """Plain commands look as in the C tool."""
    assert texts.command_line(arguments) == line
