"""The process to watch."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest

from tracer.errors import TracerError
from tracer.proc.target import Target, Targets


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


def test_children_that_ended_before_their_forks_were_told_still_count_as_parents():
    """Records come later than what they tell: a shell may be gone before it is known that it left a job behind."""
    root, shell, job = (subprocess.Popen(["cat"], stdin=subprocess.PIPE) for _ in range(3))
    with Targets([root.pid], tree=True) as targets:
        targets.forked(root.pid, shell.pid)
        assert not targets.seem_ended()
        root.communicate()
        assert not targets.seem_ended()  # the shell runs
        shell.communicate()
        assert targets.seem_ended()
        targets.forked(shell.pid, job.pid)
        assert not targets.have_ended()
        assert not targets.seem_ended()
        job.communicate()
        assert targets.seem_ended()
        assert targets.have_ended()
