"""A terminal that is ours to look at: the other end of a pty."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios

import pytest

from tests.support.sources import ROOT
from tests.unit.tracer.live.finished import event, some
from tracer.live.app import App
from tracer.live.terminal import ENTER, LARGEST, LEAVE, SMALLEST, Terminal, usable
from tracer.stop import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT)


@pytest.fixture
def pty():
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (20, 60)) if hasattr(termios, "tcsetwinsize") else _size(theirs, 20, 60)
    handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield ours, theirs
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
    os.close(ours)
    os.close(theirs)


def _size(fd, lines, columns):
    import fcntl
    import struct

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def taken(fd):
    """What the terminal has got so far."""
    found = b""
    while select.select([fd], [], [], 0)[0]:
        found += os.read(fd, 65536)
    return found


def test_terminal_is_as_before_after_leaving(pty):
    """Modes, and what has been sent; leaving twice does nothing more."""
    ours, theirs = pty
    before = termios.tcgetattr(theirs)
    terminal = Terminal(theirs)
    terminal.enter()
    inside = termios.tcgetattr(theirs)
    assert not inside[3] & (termios.ECHO | termios.ICANON)
    assert inside[3] & termios.ISIG
    assert taken(ours) == ENTER
    terminal.leave()
    terminal.leave()
    assert taken(ours) == LEAVE
    assert termios.tcgetattr(theirs) == before
    terminal.close()
    terminal.close()


def test_flags_of_the_shared_file_are_not_changed(pty):
    """The shell has the same one, and would find it not to block."""
    _, theirs = pty
    terminal = Terminal(theirs)
    terminal.enter()
    assert os.get_blocking(theirs)
    terminal.close()


def test_handlers_of_signals_are_as_before(pty):
    """Those of whoever was there before."""
    _, theirs = pty
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    terminal = Terminal(theirs)
    terminal.enter()
    assert signal.getsignal(signal.SIGTSTP) != before[signal.SIGTSTP]
    terminal.close()
    assert {signum: signal.getsignal(signum) for signum in SIGNALS} == before


def test_terminal_that_takes_nothing_holds_nobody_up(pty):
    """Somebody has pressed Ctrl-S, or the line is dead: frames are left out, and the last one comes whole."""
    ours, theirs = pty
    app = App(Terminal(theirs), view="events", environ={"TERM": "xterm", "LANG": "C.UTF-8"})
    app.begin()
    frames = []
    for number in range(2000):  # far more than a pty holds
        app.model.take(event("file_open", pid=number, path="/x" * 100))
        app._next_draw = 0.0
        app.tick()
        frames.append(app.frames)
    assert app._terminal.busy
    assert frames[-1] < 1000
    assert frames[-1] == frames[-100]
    got = taken(ours)
    while app._terminal.busy:
        got += taken(ours)
    app._next_draw = 0.0
    app.tick()
    got += taken(ours)
    assert b"2,000" in got[-20_000:]
    app.leave()
    assert taken(ours).endswith(LEAVE)


def test_leaving_waits_for_no_terminal_that_is_gone(pty):
    """Half a frame is not there yet, and nobody reads it."""
    _, theirs = pty
    terminal = Terminal(theirs)
    terminal.enter()
    while not terminal.busy:
        terminal.write(b"x" * 65536)
    terminal.close()
    assert not terminal.active


def test_size_is_bounded(pty):
    """A terminal may say anything."""
    _, theirs = pty
    terminal = Terminal(theirs)
    assert terminal.size == (60, 20)
    _size(theirs, 60000, 60000)
    assert terminal.size == LARGEST
    _size(theirs, 1, 1)
    assert terminal.size == SMALLEST
    terminal.close()


@pytest.mark.parametrize(("term", "can"), [("xterm", True), ("dumb", False), ("", False), ("unknown", False)])
def test_terminal_that_cannot_be_drawn_on(pty, term, can):
    """By its name; a file is none at all."""
    assert usable(pty[1], term) is can
    reading, writing = os.pipe()
    assert not usable(writing, term)
    os.close(reading)
    os.close(writing)


def test_nothing_is_drawn_when_nothing_has_changed(pty):
    """An idle table costs nothing."""
    ours, theirs = pty
    app = App(Terminal(theirs), view="events", speed=1.0, environ={"TERM": "xterm", "LANG": "C.UTF-8"})
    for each in some():
        app.model.take(each)
    app.begin()
    for _ in range(10):
        app._next_draw = 0.0
        app.tick()
    assert app.frames <= 3  # a second may have passed
    taken(ours)
    os.write(ours, b"\x1b[B")
    while not (sent := taken(ours)):
        app.tick()
    assert sent.count(b"H") <= 4  # the row before, the row now, the foot
    app.leave()


def test_frames_are_rare_when_they_are_dear(pty, monkeypatch):
    """They may take a part of a core, and no more."""
    _, theirs = pty
    app = App(Terminal(theirs), view="events", environ={"TERM": "xterm", "LANG": "C.UTF-8"})
    app.begin()
    now = [100.0]
    cpu = [0.0]

    def slow(*arguments):
        cpu[0] += 0.040
        return draw(*arguments)

    from tracer.live import app as module

    draw = module.draw
    monkeypatch.setattr(module, "draw", slow)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "thread_time", lambda: cpu[0])
    first = app.frames
    for _ in range(1000):  # ten seconds
        now[0] += 0.010
        app.model.take(event("file_open"))
        app.tick()
    assert 5 <= app.frames - first <= 11
    assert app.drawing_s <= 0.05 * 10
    monkeypatch.undo()
    app.leave()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_second_ctrl_c_ends_the_process_but_not_before_the_screen_is_left(pty, signum):
    """The first signal is only noted; nobody may be left with a terminal that echoes nothing."""
    ours, theirs = pty
    stop = Stop()
    stop.listen()
    terminal = Terminal(theirs)
    terminal.enter()
    taken(ours)
    os.kill(os.getpid(), signum)
    assert (stop.signum, terminal.active) == (signum, True)
    assert signal.getsignal(signal.SIGINT) == terminal._quit
    terminal.close()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert taken(ours) == LEAVE


def test_second_ctrl_c_leaves_the_screen(pty):
    """In a process of its own, which it ends."""
    ours, theirs = pty
    before = termios.tcgetattr(theirs)
    code = f"""
import os, signal
from tracer.live.terminal import Terminal
from tracer.stop import Stop
Stop().listen()
terminal = Terminal({theirs})
terminal.enter()
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, pass_fds=[theirs], check=False, timeout=30)
    assert done.returncode == -signal.SIGINT
    assert taken(ours) == ENTER + LEAVE
    assert termios.tcgetattr(theirs) == before
