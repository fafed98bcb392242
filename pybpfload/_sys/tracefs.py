"""tracefs: the numbers of tracepoints, and probes written into kprobe_events and uprobe_events.

Such a probe is a name in one file for the whole system, until it is written out again: the last step of
the ladder, for kernels whose perf events know no probes (before 4.17) or where they are not built in.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading

from pybpfload.errors import PrivilegeError, SyscallError, UnsupportedError, printable

__all__ = ["GROUP", "add_probe", "mounted", "read_lines", "remove_probe", "tracepoint_id"]

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
GROUP = "pybpfload"
_lock = threading.Lock()
_numbers = itertools.count(1)


def mounted() -> str:
    """Where it is.

    Raises:
        UnsupportedError: nowhere.
        PrivilegeError: it cannot be looked at.
    """
    for root in PLACES:
        if os.path.isdir(f"{root}/events"):
            return root
    if os.geteuid() and not any(os.access(root, os.X_OK) for root in PLACES):
        raise PrivilegeError(errno.EACCES, PLACES[0], "tracefs is for root only")
    raise UnsupportedError(f"tracefs mounted at {PLACES[0]}")


def tracepoint_id(category: str, name: str) -> int:
    """The number of a tracepoint, or of a probe.

    Raises:
        UnsupportedError: there is no such tracepoint, or no tracefs.
        PrivilegeError: tracefs cannot be read.
    """
    shown = f"tracepoint {printable(category)}/{printable(name)}"
    if "/" in category or "/" in name or ".." in (category, name) or "\0" in category + name:
        raise UnsupportedError(shown)
    path = f"{mounted()}/events/{category}/{name}/id"
    try:
        with open(path) as file:
            return int(file.read(32))
    except FileNotFoundError:
        raise UnsupportedError(shown) from None
    except PermissionError as error:
        raise PrivilegeError(error.errno or errno.EACCES, path) from error


def read_lines(file: str) -> list[bytes]:
    """The lines of one of its files."""
    with open(f"{mounted()}/{file}", "rb") as handle:
        return handle.read().splitlines()


def _write(kind: str, line: str) -> None:
    path = f"{mounted()}/{kind}_events"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnsupportedError(f"{kind}s through tracefs ({path})") from None
    except OSError as error:
        raise SyscallError(error.errno or 0, f"open {path}") from error
    try:
        os.write(handle, os.fsencode(line) + b"\n")
    except OSError as error:
        raise SyscallError(error.errno or 0, f"write {path}", printable(line)) from error
    finally:
        os.close(handle)


def add_probe(kind: str, what: str, *, ret: bool) -> str:
    """Write a probe; returns its name in the group. Remove it when nothing has it open any more.

    Args:
        kind: ``kprobe`` or ``uprobe``.
        what: ``FUNCTION+OFFSET`` or ``PATH:OFFSET(SEMAPHORE)``.
    """
    with _lock:
        name = f"p{os.getpid()}_{next(_numbers)}"
    _write(kind, f"{'r' if ret else 'p'}:{GROUP}/{name} {what}")
    return name


def remove_probe(kind: str, name: str) -> None:
    """Write a probe out again. An event that is just being closed is waited for: it is busy for a moment."""
    for _ in range(50):
        try:
            _write(kind, f"-:{GROUP}/{name}")
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return
            if error.errno != errno.EBUSY:
                raise
            threading.Event().wait(0.02)
        else:
            return
    raise SyscallError(errno.EBUSY, f"{kind}_events", f"probe {name} cannot be removed")
