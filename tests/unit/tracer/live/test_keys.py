"""What a terminal sends, and which keys that are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.live.keys import ESCAPE_S, LONGEST, Keys

SENT = [
    (b"q", ["q"]),
    (b"\x1b[A\x1b[B", ["up", "down"]),
    (b"\x1bOA", ["up"]),
    (b"\x1b[1~\x1b[4~\x1b[H\x1b[F\x1bOH\x1bOF", ["home", "end", "home", "end", "home", "end"]),
    (b"\x1b[5~\x1b[6~", ["page-up", "page-down"]),
    (b"\x1b[17~\x1bOP\x1b[21~\x1b[[A", ["f6", "f1", "f10", "f1"]),
    (b"\r\n\t\x7f\x08", ["enter", "enter", "tab", "backspace", "backspace"]),
    (b"\x1b[Z\x0c\x15\x17", ["back-tab", "redraw", "clear", "clear-word"]),
    (b"\x1b[1;5A\x1b[5;2~", ["up", "page-up"]),
    ("é中".encode(), ["é", "中"]),
    (b"\x1b[200~x\x1b[?1;2c\x1b[99;99Ry", ["x", "y"]),
    (b"\x1bx", ["x"]),
    (b"\x1b\x1b[A", ["escape", "up"]),
    (b"\xff\x00\x01q", ["home", "q"]),
]


@pytest.mark.parametrize(("data", "keys"), SENT)
def test_keys_have_names(data, keys):
    """Of several kinds of terminals; what is no key is nothing."""
    assert Keys().feed(data, 0.0) == keys


@pytest.mark.parametrize(("data", "keys"), SENT)
def test_keys_come_in_pieces(data, keys):
    """A slow line sends byte by byte."""
    reader = Keys()
    assert [key for number in range(len(data)) for key in reader.feed(data[number : number + 1], 0.0)] == keys


def test_escape_is_a_key_once_nothing_follows():
    """Most keys begin with it."""
    keys = Keys()
    assert keys.feed(b"\x1b", 10.0) == []
    assert keys.feed(b"", 10.0 + ESCAPE_S / 2) == []
    assert keys.feed(b"", 10.0 + ESCAPE_S * 2) == ["escape"]
    assert keys.feed(b"", 20.0) == []


def test_half_a_sequence_is_forgotten():
    """What comes later is not taken for its end."""
    keys = Keys()
    assert keys.feed(b"\x1b[1;", 0.0) == []
    assert keys.feed(b"", 1.0) == []
    assert keys.feed(b"A", 1.1) == ["A"]


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_bytes_give_keys_or_nothing(pieces):
    """A paste, an answer of the terminal, noise: one character, or a name, and nothing is kept without end."""
    keys = Keys()
    for piece in pieces:
        for key in keys.feed(piece, 0.0):
            assert key.isprintable()
            assert len(key) == 1 or key.replace("-", "").isalnum()
        assert len(keys._begun) <= LONGEST
