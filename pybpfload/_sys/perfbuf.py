"""perf_event_open(2) for events that BPF programs output: one for each CPU."""

from __future__ import annotations

import ctypes
import errno
import os

from pybpfload._sys.attrs import PerfEventAttr
from pybpfload._sys.bpf import error_of
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload._sys.syscall import call, numbers
from pybpfload.uapi import PerfType

__all__ = ["online_cpus", "open_output", "read_lost"]

FD_CLOEXEC = 8
SW_BPF_OUTPUT = 10
SAMPLE_RAW = 1 << 10
WATERMARK = 1 << 14  # of the flag bits
FORMAT_LOST = 1 << 4


def online_cpus() -> list[int]:
    """The CPUs that are online now, from such as ``0-3,5``."""
    with open("/sys/devices/system/cpu/online") as file:
        ranges = [part.partition("-") for part in file.read().strip().split(",")]
    return [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]


@uninterrupted
def open_output(cpu: int, *, watermark: int, events: int) -> tuple[Fd, bool] | None:
    """An event that takes what programs output on a CPU; None when the CPU has gone offline.

    Args:
        watermark: wake the reader when so many bytes wait; or, when 0, after every `events` records.

    Returns:
        The event, and whether reading it tells how many records were lost. Kernel: 6.0, 119a784c8127.
    """
    attr = PerfEventAttr(type=PerfType.SOFTWARE, config=SW_BPF_OUTPUT, sample_period=1, sample_type=SAMPLE_RAW)
    attr.size = ctypes.sizeof(attr)
    attr.read_format = FORMAT_LOST
    attr.bits = WATERMARK if watermark else 0
    attr.wakeup_events = watermark or events  # a union with wakeup_watermark
    result = call(numbers().perf_event_open, ctypes.byref(attr), -1, cpu, -1, FD_CLOEXEC)
    if result == -errno.EINVAL:
        attr.read_format = 0
        result = call(numbers().perf_event_open, ctypes.byref(attr), -1, cpu, -1, FD_CLOEXEC)
    if result == -errno.ENODEV:
        return None
    if result < 0:
        raise error_of(-result, f"perf_event_open BPF output of CPU {cpu}")
    return Fd(result, f"perf buffer of CPU {cpu}"), bool(attr.read_format)


def read_lost(fd: int) -> int:
    """How many records found no room so far."""
    data = os.read(fd, 16)  # the counter, which is of no use here, and the losses
    return memoryview(data).cast("Q")[1]
