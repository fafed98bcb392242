"""Links: each way of attaching sees exactly what this process does."""

from __future__ import annotations

import os

import pytest

import pybpfload
from pybpfload import features
from pybpfload.errors import AttachError
from tests.support.needs import uses
from tests.support.objects import read

pytestmark = pytest.mark.kernel
TIMES = 101
COOKIE = 0xC00C1E


@pytest.fixture
def tracepoints():
    """tracepoint.bpf.c, watching this process only."""
    spec = read("tracepoint")
    spec.variables["targ_tgid"] = os.getpid()
    with pybpfload.load(spec) as obj:
        yield obj


def call_getpgid():
    """A prime number of system calls."""
    for _ in range(TIMES):
        os.getpgid(0)


@uses("prog:tracepoint")
def test_tracepoint_counts_exactly_and_has_its_cookie(tracepoints):
    """Through a perf event, with a cookie where the kernel has them."""
    cookie = COOKIE if features.has("perf_link") else 0
    with pybpfload.attach(tracepoints.programs["on_enter_getpgid"], cookie=cookie) as link:
        assert link.kind == ("perf_link" if cookie else "perf_ioctl")
        call_getpgid()
    assert tracepoints.maps["hits"][0] == TIMES
    assert tracepoints.variables["cookie"] == cookie


def test_tracepoint_without_perf_links_falls_back_to_ioctl(tracepoints, monkeypatch):
    """Older kernels attach by ioctl; the link says which way was taken."""
    monkeypatch.setattr("pybpfload.links.event.has", lambda name: False)
    with pybpfload.attach(tracepoints.programs["on_enter_getpgid"]) as link:
        assert link.kind == "perf_ioctl"
        call_getpgid()
    assert tracepoints.maps["hits"][0] == TIMES
    with pytest.raises(AttachError, match="no cookies"):
        pybpfload.attach(tracepoints.programs["on_enter_getpgid"], cookie=COOKIE)


@pytest.mark.parametrize(("program", "hit"), [("on_raw_enter", 1), ("on_btf_enter", 2)])
def test_raw_and_btf_tracepoints_see_every_call(tracepoints, program, hit):
    """Both see all system calls of this process: at least those that were made for them."""
    with pybpfload.attach(tracepoints.programs[program]) as link:
        assert link.kind == "raw_tracepoint"
        call_getpgid()
    assert tracepoints.maps["hits"][hit] >= TIMES


def test_link_closed_detaches(tracepoints):
    """After close nothing is counted; closing again does nothing."""
    link = pybpfload.attach(tracepoints.programs["on_enter_getpgid"])
    link.close()
    link.close()
    call_getpgid()
    assert tracepoints.maps["hits"][0] == 0
    with pytest.raises(ValueError, match="closed"):
        link.fileno()


def test_attach_all_attaches_each_program(tracepoints):
    """One link a program; closing the set detaches them all."""
    with tracepoints.attach_all() as links:
        assert {x.program_name for x in links} == set(tracepoints.programs)
        call_getpgid()
    counted = [tracepoints.maps["hits"][i] for i in range(3)]
    assert counted[0] == TIMES
    call_getpgid()
    assert [tracepoints.maps["hits"][i] for i in range(3)] == counted


def test_attach_missing_tracepoint_names_it(tracepoints):
    """The program, the target and the cause."""
    with pytest.raises(AttachError, match="program `on_enter_getpgid`: cannot attach to tracepoint syscalls/nope"):
        pybpfload.attach_tracepoint(tracepoints.programs["on_enter_getpgid"], "syscalls", "nope")
