"""What tests of maps need around them: parts of an object, one run of a program, a bpffs, a cgroup."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import pybpfload
from pybpfload._sys import attrs, bpf, syscall
from pybpfload._sys.fd import Fd
from pybpfload.uapi import AttachType, Cmd, PerfType
from tests.support.objects import read

BPF_OUTPUT, SAMPLE_RAW = 10, 1 << 10  # of enum perf_sw_ids, enum perf_event_sample_format
PACKET = bytes(12) + b"\x08\x00" + bytes(50)


def part(name: str, maps: str = "", programs: str = "") -> pybpfload.ObjectSpec:
    """Some maps and programs of an object: a kernel need not know the others."""
    spec = read(name)
    for spec_of_map in spec.maps.values():
        spec_of_map.autocreate = spec_of_map.content is not None or spec_of_map.name in maps.split()
    for program in spec.programs.values():
        program.autoload = program.name in programs.split()
    assert set(maps.split()) <= set(spec.maps)
    assert set(programs.split()) <= set(spec.programs)
    return spec


def load_part(name: str, maps: str = "", programs: str = "", **variables: object) -> pybpfload.BpfObject:
    """The same, loaded."""
    spec = part(name, maps, programs)
    spec.variables.update(variables)
    return pybpfload.load(spec)


def run(program: pybpfload.Program, data: bytes = PACKET) -> int:
    """Run a program once over a packet; gives what it returned."""
    packet = bpf.buffer(data)
    words = bytearray(80)
    struct.pack_into("=IIIIQQ", words, 0, program.fileno(), 0, len(data), 0, bpf.address_of(packet) if data else 0, 0)
    attr = bpf.buffer(bytes(words))
    # The answer lies in the attr itself.
    result = bpf.call(bpf.numbers().bpf, int(Cmd.PROG_TEST_RUN), attr, len(words))
    assert result == 0, os.strerror(-result)
    return int(struct.unpack_from("=i", attr.raw, 4)[0])


@contextmanager
def attached(program: pybpfload.Program, target: int, attach_type: AttachType) -> Iterator[None]:
    """A program attached to a cgroup or a map, as kernels without such links do it."""
    words = struct.pack("=IIII", target, program.fileno(), attach_type, 0)
    result = bpf.raw(Cmd.PROG_ATTACH, words)
    assert result == 0, os.strerror(-result)
    try:
        yield
    finally:
        assert bpf.raw(Cmd.PROG_DETACH, words) == 0


def open_output_event(cpu: int) -> Fd:
    """A perf event that takes what programs put out on a CPU."""
    attr = attrs.PerfEventAttr(type=PerfType.SOFTWARE, config=BPF_OUTPUT, sample_type=SAMPLE_RAW, sample_period=1)
    attr.size = ctypes.sizeof(attr)
    result = bpf.call(bpf.numbers().perf_event_open, ctypes.byref(attr), -1, cpu, -1, 8)
    assert result >= 0, os.strerror(-result)
    return Fd(result, "output event")


def _cgroup2() -> Path:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            if " - cgroup2 " in line:
                return Path(line.split(" ")[4])
    raise AssertionError("no cgroup2 is mounted")


@contextmanager
def own_cgroup(name: str) -> Iterator[int]:
    """The descriptor of a new cgroup that this process is in meanwhile."""
    root = _cgroup2()
    with open("/proc/self/cgroup") as file:
        before = next(line.strip().split(":", 2)[2] for line in file if line.startswith("0::"))
    place = root / f"{name}-{os.getpid()}"
    place.mkdir()
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        (place / "cgroup.procs").write_text(str(os.getpid()))
        yield fd
    finally:
        (root / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        os.close(fd)
        place.rmdir()


@contextmanager
def door(replacement: Callable[..., int]) -> Iterator[None]:
    """Every system call of the library goes to `replacement(kernel, number, *arguments)` meanwhile."""
    kernel = syscall.door

    def replaced(number: int, *arguments: object) -> int:
        return replacement(kernel, number, *arguments)

    syscall.door = replaced
    try:
        yield
    finally:
        syscall.door = kernel
