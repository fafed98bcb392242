"""Types of programs that no other test uses: run over a packet, or attached where others are."""

from __future__ import annotations

import os
import socket
import struct
import time

import pytest

import pybpfload
from pybpfload.uapi import ProgType
from tests.support.needs import uses
from tests.support.objects import read
from tests.support.sandbox import bpffs, ip, netns

pytestmark = pytest.mark.kernel

PACKET = bytes(range(64))
PACKET_TYPES = (ProgType.SCHED_ACT, ProgType.LWT_IN, ProgType.LWT_OUT, ProgType.LWT_XMIT)
RAW_TYPES = (ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE)


def of(kind: ProgType):
    """A parameter for a type, for kernels that have it."""
    name = kind.name.lower()
    return pytest.param(kind, marks=uses(f"prog:{name}"), id=name)


def loaded(name: str, kind: ProgType, source: str = "runs") -> pybpfload.BpfObject:
    """A program of an object as one of another type."""
    spec = read(source)
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


IPPROTO_IPV6, IPV6_RTHDR, SEGMENTS = 41, 57, 4
HERE, SEGMENT, MAC = "fc00:2::1", "fc00:1::1", "02:00:00:00:00:02"


@uses("prog:lwt_seg6local")
def test_program_for_segment_routing_sees_packets_of_its_segment(tmp_path):
    """Between a pair of devices: what goes out at one comes in at the other, where a route has the program."""
    header = struct.pack("=BBBBBBH", 0, 4, SEGMENTS, 1, 1, 0, 0)
    header += b"".join(socket.inet_pton(socket.AF_INET6, address) for address in (HERE, SEGMENT))
    with (
        loaded("on_socket", ProgType.LWT_SEG6LOCAL, "net") as obj,
        bpffs(tmp_path / "bpf") as pins,
        netns(),
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock,
    ):
        obj.programs["on_socket"].pin(pins / "program")
        ip(*f"link add out0 type veth peer name in0 address {MAC}".split())
        ip(*f"addr add {HERE}/128 dev out0 nodad".split())
        for device in ("out0", "in0"):
            ip("link", "set", device, "up")
        ip(*f"neigh replace {SEGMENT} lladdr {MAC} dev out0".split())
        ip(*f"-6 route add {SEGMENT} dev out0".split())
        ip(*"-6 rule add iif in0 table 7".split())
        action = f"encap seg6local action End.BPF endpoint pinned {pins}/program"
        ip(*f"-6 route add {SEGMENT} {action} dev in0 table 7".split())
        sock.setsockopt(IPPROTO_IPV6, IPV6_RTHDR, header)
        sock.sendto(b"x", (HERE, 9))
        deadline = time.monotonic() + 30
        while not obj.variables["hits"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert obj.variables["hits"] == 1
        ip("link", "del", "out0")
