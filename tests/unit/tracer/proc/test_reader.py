"""Facts from /proc, checked against what the test knows about its own processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tracer.proc import reader


def test_executable_of_this_process():
    """The link of the kernel, without the links that led to it."""
    assert reader.executable(os.getpid()) == os.path.realpath(sys.executable)


def boot_ticks():
    return reader.ticks(time.clock_gettime_ns(time.CLOCK_BOOTTIME))


@pytest.mark.parametrize("name", ["plain", "a) R 1 (b", "with space", "x\ny"])
def test_identity_tells_name_and_start(name):
    """To the tick, and a hostile name does not shift the fields."""
    code = f"open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"
    before = boot_ticks()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    after = boot_ticks()
    child.stdout.readline()
    identity = reader.identity(child.pid)
    child.communicate(b"\n")
    assert identity.name == name
    assert before <= identity.start_ticks <= after


def test_vanished_process_is_gone():
    """One error for all that /proc may say about it."""
    child = subprocess.Popen(["true"])
    child.wait()
    for look in (reader.executable, reader.identity):
        with pytest.raises(reader.GoneError, match=f"process {child.pid}: gone"):
            look(child.pid)


def test_kernel_thread_has_no_executable():
    """That is no error of ours."""
    with pytest.raises(reader.GoneError):
        reader.executable(2)
