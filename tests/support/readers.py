"""What the tests of readers share: objects that send when they are told to, and records made by hand."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pybpfload
from tests.support.objects import read

DEADLINE_S = 20.0


def send(count: int) -> None:
    """So many getpgid(2), which the objects take as their sign."""
    for _ in range(count):
        os.getpgid(0)


@contextmanager
def attached(name: str, **variables: object) -> Iterator[pybpfload.BpfObject]:
    """An object of tests/data that watches this process."""
    spec = read(name)
    spec.variables.update({"targ_tgid": os.getpid(), **variables})
    with pybpfload.load(spec) as obj, obj.attach_all():
        yield obj


@contextmanager
def one_cpu(number: int) -> Iterator[None]:
    """This thread runs on one CPU alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def numbers(records) -> list[int]:
    """What the objects count in each record."""
    return [record.number for record in records]


class Worker(threading.Thread):
    """Runs a function; `finish` waits for it, and raises what it raised."""

    def __init__(self, function) -> None:
        super().__init__(daemon=True)
        self.function, self.result, self.error = function, None, None
        self.start()

    def run(self) -> None:
        """In the thread."""
        try:
            self.result = self.function()
        except Exception as error:  # noqa: BLE001
            self.error = error

    def finish(self):
        """What the function returned."""
        self.join(DEADLINE_S)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self.result


def until(condition) -> None:
    """Poll for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waits(worker: Worker) -> bool:
    """Whether a thread sleeps in epoll_wait(2), as the kernel sees it."""
    with open(f"/proc/self/task/{worker.native_id}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"
