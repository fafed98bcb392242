"""perf_event_open(2), and what /sys/bus/event_source and tracefs say about its numbers."""

from __future__ import annotations

import ctypes
import os

from pybpfload._sys.attrs import PerfEventAttr
from pybpfload._sys.bpf import error_of
from pybpfload._sys.fd import Fd
from pybpfload._sys.syscall import call, numbers
from pybpfload.errors import PrivilegeError, UnsupportedError, printable
from pybpfload.uapi import PerfType

__all__ = ["open_tracepoint", "open_uprobe", "set_bpf", "tracepoint_id"]

FD_CLOEXEC = 8
IOC_SET_BPF = 0x40042408
TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
EVENT_SOURCE = "/sys/bus/event_source/devices"


def _open(attr: PerfEventAttr, pid: int, what: str) -> Fd:
    """All CPUs of one process, or (pid -1) all processes through the event of CPU 0."""
    attr.size = ctypes.sizeof(attr)
    result = call(numbers().perf_event_open, ctypes.byref(attr), pid, -1 if pid >= 0 else 0, -1, FD_CLOEXEC)
    if result < 0:
        raise error_of(-result, f"perf_event_open {what}")
    return Fd(result, f"perf event {what}")


def tracepoint_id(category: str, name: str) -> int:
    """The number that tracefs has for a tracepoint.

    Raises:
        UnsupportedError: there is no such tracepoint, or no tracefs.
        PrivilegeError: tracefs cannot be read.
    """
    if "/" in category or "/" in name or ".." in (category, name):
        raise UnsupportedError(f"tracepoint {printable(category)}/{printable(name)}")
    for root in TRACEFS:
        if os.path.isdir(f"{root}/events"):
            break
    else:
        readable = any(os.access(root, os.X_OK) for root in TRACEFS)
        if not readable and os.geteuid():
            raise PrivilegeError(13, f"{TRACEFS[0]}", "tracefs is for root only")
        raise UnsupportedError(f"tracefs mounted at {TRACEFS[0]}")
    try:
        with open(f"{root}/events/{category}/{name}/id") as file:
            return int(file.read(32))
    except FileNotFoundError:
        raise UnsupportedError(f"tracepoint {printable(category)}/{printable(name)}") from None
    except PermissionError as error:
        raise PrivilegeError(error.errno or 13, f"{root}/events/{category}/{name}/id") from error


def open_tracepoint(category: str, name: str) -> Fd:
    """A perf event that fires at a tracepoint of any process."""
    attr = PerfEventAttr(type=PerfType.TRACEPOINT, config=tracepoint_id(category, name))
    attr.sample_period = 1
    attr.wakeup_events = 1
    return _open(attr, -1, f"tracepoint {category}/{name}")


def _source_number(source: str, file: str) -> str:
    try:
        with open(f"{EVENT_SOURCE}/{source}/{file}") as handle:
            return handle.read(64).strip()
    except OSError:
        raise UnsupportedError(f"perf event source `{source}`", "4.17") from None


def open_uprobe(path: bytes, offset: int, *, ret: bool, pid: int) -> Fd:
    """A perf event that fires when a process runs over a byte of a file.

    Args:
        offset: in the file, not an address.
        ret: fire when the function returns.
        pid: one process, or -1 for all.

    Kernel: 4.17, 33ea4b24277b.
    """
    source = int(_source_number("uprobe", "type"))
    bit = int(_source_number("uprobe", "format/retprobe").partition(":")[2]) if ret else 0
    text = ctypes.create_string_buffer(path)
    attr = PerfEventAttr(type=source, config=1 << bit if ret else 0)
    attr.config1, attr.config2 = ctypes.addressof(text), offset
    return _open(attr, pid, f"uprobe {os.fsdecode(path)}+{offset:#x}")


def set_bpf(perf_fd: int, prog_fd: int) -> None:
    """PERF_EVENT_IOC_SET_BPF: no cookie, no link."""
    result = call(numbers().ioctl, perf_fd, IOC_SET_BPF, prog_fd)
    if result < 0:
        raise error_of(-result, "PERF_EVENT_IOC_SET_BPF")
