"""Text from outside on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tracer.live.text import LONGEST, clean, fit, width_of, wrap

ANY = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from("a\x1b[\r\n\t中é\u0301\u202e\u200b\U0001f600\udcff")
)


@given(ANY)
def test_clean_leaves_only_what_is_seen_from_left_to_right(text):
    """No character that is left moves anything, takes no room, or turns the line around."""
    for c in clean(text):
        assert c.isprintable()
        assert unicodedata.category(c)[0] not in "MC"
        assert unicodedata.bidirectional(c) not in {"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI"}
        assert cell_len(c) >= 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/etc/ssl/a b.pem", "/etc/ssl/a b.pem"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m", r"\x9b31m"),
        ("caf\u00e9", "caf\u00e9"),
        ("e\u0301", r"e\u0301"),
        ("a\u200bb\u00ad", r"a\u200bb\xad"),
        ("\u202efdp.exe", r"\u202efdp.exe"),
        ("\u05d0", r"\u05d0"),
        ("中", "中"),
        ("\udcff", r"\udcff"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\\u200d\U0001f469"),
    ],
)
def test_clean_shows_the_rest_as_escapes(text, shown):
    """As Python writes them."""
    assert clean(text) == shown


def test_clean_is_bounded():
    """An argument may be megabytes long."""
    assert len(clean("\x1b" * 10 * LONGEST)) <= 4 * LONGEST + 1


@given(ANY, st.integers(0, 40), st.sampled_from(["left", "right"]), st.sampled_from(["start", "end"]))
def test_fit_gives_exactly_so_many_cells(text, width, align, keep):
    """Wide characters too, where one of them does not fit into the last cell."""
    assert cell_len(fit(text, width, align, keep)) == width


def test_fit_keeps_the_part_that_matters():
    """The end of a path, the beginning of anything else."""
    assert fit("/etc/ssl/private/site.key", 10, "left", "end") == "…/site.key"
    assert fit("TLS_AES_256_GCM_SHA384", 10) == "TLS_AES_2…"
    assert fit("中中中", 4) == "中… "
    assert fit("7", 3, "right") == "  7"


@given(ANY, st.integers(2, 40))
def test_wrap_loses_nothing(text, width):
    """All lines together are the text, and none is too long."""
    lines = wrap(text, width)
    assert "".join(lines) == clean(text)
    assert all(width_of(line) <= width for line in lines)
