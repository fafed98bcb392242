"""Messages on stderr."""

from __future__ import annotations

import io

import pytest

from tracer.log import DETAILS, ERRORS, NOTES, WARNINGS, Log, printable


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (DETAILS, ["error", "warning", "note", "detail"]),
        (NOTES, ["error", "warning", "note"]),
        (WARNINGS, ["error", "warning"]),
        (ERRORS, ["error", "warning"]),
    ],
)
def test_log_shows_down_to_its_level_and_always_warnings(level, shown):
    """Quiet leaves notes out, but a loss is never silent."""
    stream = io.StringIO()
    log = Log(level, stream)
    for name in ("error", "warning", "note", "detail"):
        getattr(log, name)(f"a {name}")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == shown


def test_log_error_gives_its_hint_a_line():
    """What, then what to do about it."""
    stream = io.StringIO()
    Log(NOTES, stream).error("what\nwhy", hint="do this")
    assert stream.getvalue() == "crypto-tracer: error: what\n  why\n  hint: do this\n"


def test_log_escapes_what_could_drive_a_terminal():
    """A file name with an escape sequence in it is shown, not obeyed."""
    stream = io.StringIO()
    Log(NOTES, stream).note("cannot open \x1b]0;x\x07\x9b\r\udcff.pem")
    assert stream.getvalue() == "crypto-tracer: cannot open \\x1b]0;x\\x07\\x9b\\r\\udcff.pem\n"


def test_printable_keeps_letters_of_all_languages():
    """Only what moves the cursor or cannot be encoded is changed."""
    assert printable("Schlüssel-鍵.pem") == "Schlüssel-鍵.pem"


def test_log_survives_a_closed_stderr():
    """Nobody can be told, and the trace goes on."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    Log(NOTES, Closed()).note("x")
