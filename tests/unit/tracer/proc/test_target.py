"""The process to watch."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest

from tracer.errors import TracerError
from tracer.proc.target import Target


def test_target_ends_with_its_process():
    """Also while nobody has waited for the process yet."""
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with Target(child.pid) as target:
        assert not target.ended
        child.stdin.close()
        deadline = time.monotonic() + 10
        while not target.ended and time.monotonic() < deadline:
            pass
        assert target.ended
    child.wait()


def test_target_that_does_not_exist_is_an_error():
    """Its id may be given to anybody at any time."""
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(TracerError, match=f"no process has the id {child.pid}"):
        Target(child.pid)


def test_target_that_is_a_thread_is_an_error():
    """Events carry ids of processes, so none would ever match."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with pytest.raises(TracerError, match="is a thread"):
            Target(thread.native_id)
    finally:
        done.set()
        thread.join()


def test_no_target_never_ends():
    """Zero stands for all processes."""
    with Target(0) as target:
        assert not target.ended
