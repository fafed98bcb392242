"""The bar on stderr."""

from __future__ import annotations

import io

import pytest

from tracer import progress
from tracer.log import NOTES, WARNINGS, Log
from tracer.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """A clock that the test turns."""
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setenv("TERM", "xterm")
    return clock


def test_bar_comes_after_a_while_and_goes_at_the_end(now):
    """Nothing is left of it."""
    stream = Terminal()
    with Progress("processes", stream) as bar:
        bar.show(1, 200)
        assert stream.getvalue() == ""
        now[0] += progress.AFTER_S
        bar.show(50, 200)
        assert stream.getvalue() == "\r\x1b[Kprocesses: [######..................] 50 of 200"
        bar.show(51, 200)  # too soon
        now[0] += progress.EVERY_S
        bar.show(1000, 200)
    drawn = stream.getvalue().split("\r\x1b[K")
    assert drawn[2:] == ["processes: [########################] 1,000 of 200", ""]
    bar.show(7)
    assert stream.getvalue().endswith("\r\x1b[K")


def test_bar_without_a_total_counts(now):
    """As of a recording, whose length nobody knows."""
    stream = Terminal()
    with Progress("events", stream) as bar:
        now[0] += 1
        bar.show(12345)
        assert stream.getvalue().endswith("events: 12,345")


@pytest.mark.parametrize("term", ["dumb", None])
def test_bar_is_not_there_where_nobody_could_see_it(now, monkeypatch, term):
    """In files, on terminals that cannot, without stderr, or with --quiet."""
    for stream in (io.StringIO(), None):
        with Progress("x", stream) as bar:
            now[0] += 1
            bar.show(1)
    assert io.StringIO().getvalue() == ""
    quiet = Terminal()
    with Log(WARNINGS, quiet).progress("x") as bar:
        now[0] += 1
        bar.show(1)
    assert quiet.getvalue() == ""
    monkeypatch.setenv("TERM", term) if term else monkeypatch.delenv("TERM")
    dumb = Terminal()
    with Progress("x", dumb) as bar:
        now[0] += 1
        bar.show(1)
    assert dumb.getvalue() == ""


def test_message_has_a_line_of_its_own(now):
    """The bar makes room, and comes again."""
    stream = Terminal()
    log = Log(NOTES, stream)
    with log.progress("events") as bar:
        now[0] += 1
        bar.show(1)
        log.warning("look")
        now[0] += 1
        bar.show(2)
    drawn = stream.getvalue()
    assert drawn == "\r\x1b[Kevents: 1\r\x1b[Kcrypto-tracer: warning: look\n\r\x1b[Kevents: 2\r\x1b[K"


def test_terminal_that_is_gone_is_no_error(now):
    """The work goes on."""

    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "gone")

    with Progress("x", Gone()) as bar:
        now[0] += 1
        bar.show(1)
        now[0] += 1
        bar.show(2)
