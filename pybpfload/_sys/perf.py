"""perf_event_open(2), and what /sys/bus/event_source says about its numbers."""

from __future__ import annotations

import ctypes
import os

from pybpfload._sys.attrs import PerfEventAttr
from pybpfload._sys.bpf import error_of
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload._sys.syscall import call, numbers
from pybpfload._sys.tracefs import tracepoint_id
from pybpfload.errors import UnsupportedError
from pybpfload.uapi import PerfType

__all__ = [
    "enable",
    "open_event",
    "open_kprobe",
    "open_trace_event",
    "open_tracepoint",
    "open_uprobe",
    "set_bpf",
    "tracepoint_id",
]

FD_CLOEXEC = 8
IOC_SET_BPF = 0x40042408
IOC_ENABLE = 0x2400
EVENT_SOURCE = "/sys/bus/event_source/devices"
DISABLED = 1  # the bits of perf_event_attr, in their order
INHERIT = 1 << 1
FREQUENCY = 1 << 10


@uninterrupted
def _open(attr: PerfEventAttr, pid: int, what: str, cpu: int | None = None) -> Fd:
    """All CPUs of one process, or (pid -1) all processes through the event of CPU 0."""
    attr.size = ctypes.sizeof(attr)
    if cpu is None:
        cpu = -1 if pid >= 0 else 0
    result = call(numbers().perf_event_open, ctypes.byref(attr), pid, cpu, -1, FD_CLOEXEC)
    if result < 0:
        raise error_of(-result, f"perf_event_open {what}")
    return Fd(result, f"perf event {what}")


def open_trace_event(number: int, what: str, pid: int = -1) -> Fd:
    """A perf event that fires at a tracepoint, or at a probe of tracefs."""
    attr = PerfEventAttr(type=PerfType.TRACEPOINT, config=number)
    attr.sample_period = 1
    attr.wakeup_events = 1
    return _open(attr, pid, what)


def open_tracepoint(category: str, name: str) -> Fd:
    """A perf event that fires at a tracepoint of any process."""
    return open_trace_event(tracepoint_id(category, name), f"tracepoint {category}/{name}")


def open_event(
    type: int, config: int, *, period: int = 0, frequency: int = 0, pid: int = -1, cpu: int = -1, what: str
) -> Fd:
    """A perf event that samples: every `period` events, or `frequency` times a second.

    It begins disabled, so that no sample is lost to a program that is not there yet.
    """
    attr = PerfEventAttr(type=type, config=config, sample_period=period or frequency)
    attr.bits = DISABLED | (0 if period else FREQUENCY)
    return _open(attr, pid, what, cpu)


def _source_number(source: str, file: str) -> str:
    try:
        with open(f"{EVENT_SOURCE}/{source}/{file}") as handle:
            return handle.read(64).strip()
    except OSError:
        raise UnsupportedError(f"perf event source `{source}`", "4.17") from None


def _probe(source: str, ret: bool) -> PerfEventAttr:
    number = int(_source_number(source, "type"))
    bit = int(_source_number(source, "format/retprobe").partition(":")[2]) if ret else 0
    return PerfEventAttr(type=number, config=1 << bit if ret else 0)


def open_uprobe(path: bytes, offset: int, *, ret: bool, pid: int, semaphore: int = 0) -> Fd:
    """A perf event that fires when a process runs over a byte of a file.

    Args:
        offset: in the file, not an address.
        ret: fire when the function returns.
        pid: one process, or -1 for all.
        semaphore: offset in the file of a counter that the kernel raises meanwhile.

    Kernel: 4.17, 33ea4b24277b; semaphores 4.20, a6ca88b241d5.
    """
    attr = _probe("uprobe", ret)
    if semaphore:
        bits = _source_number("uprobe", "format/ref_ctr_offset").partition(":")[2]  # 32-63
        attr.config |= semaphore << int(bits.partition("-")[0])
    text = ctypes.create_string_buffer(path)
    attr.config1, attr.config2 = ctypes.addressof(text), offset
    return _open(attr, pid, f"uprobe {os.fsdecode(path)}+{offset:#x}")


def open_kprobe(function: str, offset: int, *, ret: bool) -> Fd:
    """A perf event that fires at a function of the kernel; "" takes `offset` as an address.

    Kernel: 4.17, e12f03d7031a.
    """
    attr = _probe("kprobe", ret)
    text = ctypes.create_string_buffer(os.fsencode(function)) if function else None
    attr.config1, attr.config2 = ctypes.addressof(text) if text is not None else 0, offset
    return _open(attr, -1, f"kprobe {function}+{offset:#x}")


def set_bpf(perf_fd: int, prog_fd: int) -> None:
    """PERF_EVENT_IOC_SET_BPF: no cookie, no link."""
    result = call(numbers().ioctl, perf_fd, IOC_SET_BPF, prog_fd)
    if result < 0:
        raise error_of(-result, "PERF_EVENT_IOC_SET_BPF")


def enable(perf_fd: int) -> None:
    """PERF_EVENT_IOC_ENABLE."""
    result = call(numbers().ioctl, perf_fd, IOC_ENABLE, 0)
    if result < 0:
        raise error_of(-result, "PERF_EVENT_IOC_ENABLE")
