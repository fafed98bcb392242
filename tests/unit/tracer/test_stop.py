"""Signals become a request."""

from __future__ import annotations

import os
import signal

import pytest

from tracer.stop import SIGNALS, Stop


@pytest.fixture(autouse=True)
def _own_handlers():
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_sets_the_request_and_the_exit_code(signum, code):
    """The exit code is the one that shells use."""
    stop = Stop()
    stop.listen()
    assert (stop.requested, stop.exit_code) == (False, 0)
    os.kill(os.getpid(), signum)
    assert (stop.requested, stop.exit_code) == (True, code)


def test_first_signal_gives_ctrl_c_its_default_action_back():
    """A second Ctrl-C must end even a process that hangs."""
    stop = Stop()
    stop.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_exit_code_is_of_the_first_signal():
    """SIGTERM after Ctrl-C does not change why the process ends."""
    stop = Stop()
    stop.listen()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.exit_code == 130


def test_ignored_signal_stays_ignored():
    """A background job of a script has SIGINT ignored, and Ctrl-C is not meant for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = Stop()
    stop.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
