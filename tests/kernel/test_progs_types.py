"""Types of programs that no other test uses: run over a packet, or attached where others are."""

from __future__ import annotations

import os

import pytest

import pybpfload
from pybpfload.uapi import ProgType
from tests.support.needs import uses
from tests.support.objects import read

pytestmark = pytest.mark.kernel

PACKET = bytes(range(64))
PACKET_TYPES = (ProgType.SCHED_ACT, ProgType.LWT_IN, ProgType.LWT_OUT, ProgType.LWT_XMIT)
RAW_TYPES = (ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE)


def of(kind: ProgType):
    """A parameter for a type, for kernels that have it."""
    name = kind.name.lower()
    return pytest.param(kind, marks=uses(f"prog:{name}"), id=name)


def loaded(name: str, kind: ProgType) -> pybpfload.BpfObject:
    """A program of runs.bpf.c as one of another type."""
    spec = read("runs")
    for program in spec.programs.values():
        program.autoload = program.name == name
    spec.programs[name].type = kind
    return pybpfload.load(spec)


@pytest.mark.parametrize("kind", [of(kind) for kind in PACKET_TYPES])
def test_program_for_packets_sees_the_packet(kind):
    """Its length, behind the Ethernet header for all but actions."""
    header = 0 if kind is ProgType.SCHED_ACT else 14
    with loaded("length", kind) as obj:
        assert obj.programs["length"].info().type is kind
        assert obj.programs["length"].run(PACKET).retval == len(PACKET) - header


@pytest.mark.parametrize("kind", [of(kind) for kind in RAW_TYPES])
def test_program_for_raw_tracepoints_sees_system_calls(kind):
    """Writable ones go to any tracepoint as long as they write nothing."""
    with loaded("on_cpu", kind) as obj:
        with pybpfload.attach_raw_tracepoint(obj.programs["on_cpu"], "sys_enter"):
            os.getppid()
            assert obj.variables["seen_args"][0] != 0
        assert obj.programs["on_cpu"].info().type is kind
