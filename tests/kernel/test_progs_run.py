"""Running programs without attaching them, and counting what they do."""

from __future__ import annotations

import os
import struct

import pytest

import pybpfload
from pybpfload import features
from pybpfload.errors import SyscallError
from tests.support.needs import needs, uses
from tests.support.objects import read

pytestmark = pytest.mark.kernel

PACKET = bytes(range(64))
SKB_MARK, SKB_PRIORITY = 8, 32  # in struct __sk_buff
SKB_SIZE = 192
NEW_MARK = 0x1234


def loaded(*names: str, source: str = "runs") -> pybpfload.BpfObject:
    """The object with just these programs."""
    spec = read(source)
    for program in spec.programs.values():
        program.autoload = program.name in names
    return pybpfload.load(spec)


def test_run_gives_the_return_value():
    """A socket filter sees the packet behind its Ethernet header."""
    with loaded("length") as obj:
        assert obj.programs["length"].run(PACKET).retval == len(PACKET) - 14


def test_run_gives_the_packet_as_the_program_left_it():
    """The first two bytes are swapped, the others are the same."""
    with loaded("rewrite") as obj:
        result = obj.programs["rewrite"].run(PACKET)
        assert (result.retval, result.data) == (0, PACKET[1::-1] + PACKET[2:])
        assert result.ctx == b""


def test_run_gives_a_packet_that_has_grown():
    """There is room for more than was given."""
    with loaded("grow") as obj:
        result = obj.programs["grow"].run(PACKET)
        assert result.retval == 2
        assert result.data == bytes(range(8)) + PACKET


@needs("prog_run_skb_ctx")
def test_run_passes_the_context_both_ways():
    """The mark goes in and comes out as the priority; the new mark comes out too."""
    ctx = bytearray(SKB_SIZE)
    struct.pack_into("=I", ctx, SKB_MARK, 77)
    with loaded("rewrite") as obj:
        out = obj.programs["rewrite"].run(PACKET, ctx=ctx).ctx
    assert struct.unpack_from("=I", out, SKB_PRIORITY) == (77,)
    assert struct.unpack_from("=I", out, SKB_MARK) == (NEW_MARK,)


def test_run_repeats():
    """Each repetition really runs; the time is that of one."""
    with loaded("rewrite") as obj:
        result = obj.programs["rewrite"].run(PACKET, repeat=1009)
        assert obj.variables["runs"] == 1009
        assert 0 < result.duration_ns < 10_000_000
        # An odd number of swaps is one.
        assert result.data[:2] == PACKET[1::-1]


@needs("prog_run_raw_tp")
@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0)))
def test_run_raw_tracepoint_on_a_cpu(cpu):
    """It runs where it is told, with the arguments that it is given."""
    with loaded("on_cpu") as obj:
        result = obj.programs["on_cpu"].run(ctx=struct.pack("=2Q", 5, 1 << 40), cpu=cpu)
        assert result.retval == 7
        assert obj.variables["seen_cpu"] == cpu
        assert list(obj.variables["seen_args"]) == [5, 1 << 40]


@needs("prog_run_syscall")
@uses("prog:syscall")
def test_run_syscall_program():
    """Its context is memory of ours: it comes back changed."""
    with loaded("adds") as obj:
        result = obj.programs["adds"].run(ctx=struct.pack("=3Q", 40, 2, 0))
        assert result.retval == 11
        assert struct.unpack("=3Q", result.ctx) == (40, 2, 42)


def test_run_of_a_type_that_cannot_names_the_program():
    """The kernel has an errno of its own for that."""
    wanted = pytest.raises(SyscallError, match="BPF_PROG_TEST_RUN sampled")
    with loaded("sampled") as obj, wanted as caught:
        obj.programs["sampled"].run(PACKET)
    assert caught.value.errno in (524, 22)
    assert "ENOTSUPP" in str(caught.value) or caught.value.errno != 524


def test_run_with_too_little_data_is_an_error():
    """Not even an Ethernet header."""
    with loaded("length") as obj, pytest.raises(SyscallError, match=r"length: Invalid argument \(EINVAL\)"):
        obj.programs["length"].run(PACKET[:13])


def test_tail_calls_reach_what_the_object_put_into_the_array():
    """Slot 1 is filled as the object says; an empty slot falls through."""
    with loaded("first", "second", "dispatch", source="tail") as obj:
        run = obj.programs["dispatch"].run
        assert [run(bytes(14) + bytes([slot, 0])).retval for slot in (0, 1, 2, 200)] == [100, 101, 100, 100]


def test_tail_calls_reach_what_user_space_puts_into_the_array():
    """A slot is filled, replaced and emptied while the program is in use."""
    with loaded("first", "second", "dispatch", source="tail") as obj:
        jumps, run = obj.maps["jumps"], obj.programs["dispatch"].run
        packet = bytes(14) + b"\x02\x00"
        key = (2).to_bytes(4, "little")
        for name, expected in (("second", 102), ("first", 101)):
            jumps[key] = obj.programs[name].fileno().to_bytes(4, "little")
            assert run(packet).retval == expected
        del jumps[key]
        assert run(packet).retval == 100


@needs("stats")
def test_stats_count_runs_while_they_are_on():
    """Runs before and after are not counted."""
    with loaded("length") as obj:
        program = obj.programs["length"]
        program.run(PACKET, repeat=3)
        with pybpfload.RunStats():
            program.run(PACKET, repeat=997)
            counted = program.stats()
        program.run(PACKET, repeat=5)
        assert counted.run_count == 997
        assert counted.run_time_ns > 0
        assert program.stats() == counted == program.info().stats


@needs("stats")
def test_stats_count_recursion():
    """A program that is on its CPU already does not run again, and that is counted: here never."""
    with loaded("length") as obj, pybpfload.RunStats() as stats:
        obj.programs["length"].run(PACKET)
        assert obj.programs["length"].stats().recursion_misses == 0
        stats.close()
        stats.close()


def test_features_of_runs_are_what_these_tests_saw():
    """The rows that let the tests above run say the same as the programs do."""
    with loaded("length") as obj:
        obj.programs["length"].run(PACKET)
    assert features.has("prog_run")
