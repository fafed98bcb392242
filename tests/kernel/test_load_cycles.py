"""Nothing is left of what was loaded and attached: after a thousand times, and after a failure at each system call.

These tests count for themselves, beside the gate that is around every kernel test: their own descriptors, and each
program, map and link by the number that the kernel gave it.
"""

from __future__ import annotations

import errno
import os
import time

import pytest

import pybpfload
from pybpfload._sys import syscall
from pybpfload.errors import BpfError
from pybpfload.uapi import Cmd
from tests.support.gates import CREATING, GET_NEXT_ID, bpf_ids, bpf_object_exists
from tests.support.needs import needs
from tests.support.objects import read

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

CYCLES = 1000
GONE_WITHIN_S = 20.0


class Watch:
    """Stands at the door: counts calls, notes what they made, and makes one of them fail.

    Attributes:
        calls: how many there were.
        made: kind and number of each program, map and link.
    """

    def __init__(self, monkeypatch, fails_at: int = -1, number: int = errno.ENOMEM) -> None:
        self.calls = 0
        self.made: set[tuple[str, int]] = set()
        self._fails_at, self._number = fails_at, number
        self._real = syscall.door
        monkeypatch.setattr(syscall, "door", self)

    def __call__(self, number, *arguments):
        self.calls += 1
        if self.calls - 1 == self._fails_at:
            return -self._number
        result = self._real(number, *arguments)
        if number == syscall.numbers().bpf and result >= 0 and arguments[0] in CREATING:
            self.made |= bpf_ids(result)
        return result


def remaining(made: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """What of it the kernel still has, when it has had time: it frees some things after a grace period."""
    deadline = time.monotonic() + GONE_WITHIN_S
    left = {one for one in made if bpf_object_exists(*one)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {one for one in left if bpf_object_exists(*one)}
    return left


def descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))


def cycle() -> None:
    """Load an object with maps and programs of several kinds, attach one, run one, read, close."""
    spec = read("runs")
    for program in spec.programs.values():
        program.autoload = program.name in ("rewrite", "on_cpu")
    with pybpfload.load(spec) as obj, pybpfload.attach_raw_tracepoint(obj.programs["on_cpu"], "sched_switch"):
        assert obj.programs["rewrite"].run(bytes(64)).retval == 0
        assert obj.variables["runs"] == 1


def test_thousand_cycles_leave_nothing(monkeypatch, record_property):
    """Descriptors stay as many as they were, and no number that the kernel gave out is in use any more."""
    cycle()  # what is kept for the life of the process: the answers of feature rows, the kernel's types
    before = descriptors()
    watch = Watch(monkeypatch)
    for _ in range(CYCLES):
        cycle()
    kinds = {kind: sum(1 for one, _ in watch.made if one == kind) for kind in GET_NEXT_ID}
    record_property("made", kinds)
    assert kinds["prog"] == 2 * CYCLES
    assert kinds["map"] == CYCLES
    assert kinds["link"] in (0, CYCLES)  # kernels before 5.8 have no numbers for links
    assert descriptors() == before
    assert remaining(watch.made) == set()


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EPERM, errno.EINVAL, errno.EINTR])
def test_failure_at_each_system_call_leaves_nothing(monkeypatch, number):
    """Every call that a cycle makes fails once. Some failures are overcome; none leaves anything."""
    cycle()
    watch = Watch(monkeypatch)
    cycle()
    calls = watch.calls
    assert calls >= 7
    monkeypatch.undo()
    before = descriptors()
    made: set[tuple[str, int]] = set()
    failures = 0
    for step in range(calls + 3):
        watch = Watch(monkeypatch, step, number)
        try:
            cycle()
        except (BpfError, OSError):
            failures += 1
        monkeypatch.undo()
        made |= watch.made
        assert descriptors() == before, f"call {step} failed with {errno.errorcode[number]}"
    assert failures >= 3
    assert remaining(made) == set()


@pytest.mark.parametrize(
    "name",
    [
        *("maps", "nested", "tail", "tracepoint", "ring"),
        pytest.param("struct_ops", marks=needs("struct_ops_link")),
        pytest.param("arena", marks=needs("arena")),
    ],
)
def test_failure_at_each_system_call_of_any_object_leaves_nothing(monkeypatch, name):
    """The same for objects of other kinds."""
    watch = Watch(monkeypatch)
    pybpfload.load(read(name)).close()
    monkeypatch.undo()
    before, made = descriptors(), set()
    for step in range(watch.calls):
        failing = Watch(monkeypatch, step)
        try:
            pybpfload.load(read(name)).close()
        except (BpfError, OSError):
            pass
        monkeypatch.undo()
        made |= failing.made
        assert descriptors() == before, f"call {step}"
    assert remaining(made) == set()


def test_exception_between_load_and_close_leaves_nothing(monkeypatch):
    """An error in the user's own code, at each level."""
    before = descriptors()
    watch = Watch(monkeypatch)
    spec = read("runs")
    for program in spec.programs.values():
        program.autoload = program.name == "on_cpu"

    def fail():
        with pybpfload.load(spec) as obj, pybpfload.attach_raw_tracepoint(obj.programs["on_cpu"], "sched_switch"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert descriptors() == before
    assert len(watch.made) >= 2
    assert remaining(watch.made) == set()


def test_numbers_are_found_while_their_owner_lives(monkeypatch):
    """The counting above sees what there is to see."""
    watch = Watch(monkeypatch)
    spec = read("runs")
    for program in spec.programs.values():
        program.autoload = program.name == "length"
    with pybpfload.load(spec):
        assert {kind for kind, _ in watch.made} == {"prog", "map"}
        assert all(bpf_object_exists(*one) for one in watch.made)
    assert int(Cmd.PROG_LOAD) in CREATING
