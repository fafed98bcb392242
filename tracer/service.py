# SPDX-License-Identifier: MIT
"""What a tracer that runs for long has beside its events: metrics and health over HTTP, and a user without privileges.

Both wait until all is attached. What has been loaded by then stays usable: programs can be attached to new libraries,
and counters can be read, without any capability (tried on 6.18). Kernels that want CAP_BPF for the counters (before
6.0, where unprivileged BPF is off) are found out before anything is given up, and that one is kept.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import TYPE_CHECKING

import pybpfload
from pybpfload.errors import BpfError
from tracer.errors import NoPrivilegeError, UsageError
from tracer.proc import capabilities

if TYPE_CHECKING:
    from argparse import Namespace

    from tracer.log import Log
    from tracer.manager import EbpfManager
    from tracer.metrics import Metrics
    from tracer.sinks import Sink
    from tracer.sinks.output import Output
    from tracer.webserver import Server

# Packages whose modules are needed later, when files of root may be out of reach.
PACKAGES = ("pybpfload", "tracer.pipeline", "tracer.probes", "tracer.proc", "tracer.sinks", "tracer.catalog")
NOT_NEEDED = ("pybpfload.cli", "pybpfload.__main__")


class Service:
    """The service that the options ask for; with none of them, it does nothing.

    Args:
        options: metrics is the address to listen at, user is who to become; commands may have neither.

    Raises:
        NoPrivilegeError: this process cannot become that user.
        TracerError: the address cannot be had.
    """

    def __init__(self, options: Namespace, log: Log) -> None:
        self._log = log
        self._version = options.version_line.rpartition(" ")[2] if hasattr(options, "version_line") else ""
        self._user: tuple[int, int] | tuple[()] = getattr(options, "user", ())
        self._address: tuple[str, int] | tuple[()] = getattr(options, "metrics", ())
        self._metrics: Metrics | None = None
        self._server: Server | None = None
        self._systemd = Systemd.found()
        if self._user:
            check_user(self._user)

    def begin(self, manager: EbpfManager, output: Output, sink: Sink) -> Sink:
        """Listen, but do not answer yet; returns the sink that events have to go to."""
        if not self._address:
            return sink
        from tracer.metrics import Counting, Metrics
        from tracer.webserver import Server

        self._metrics = Metrics(self._version, lambda: manager.last_stats, lambda: output.unwritten)
        self._server = Server(self._address, self._metrics)
        return Counting(sink, self._metrics)

    def attached(self, manager: EbpfManager) -> None:
        """All is attached: give up privileges, then answer.

        Raises:
            SyscallError: the kernel refused to change the user.
        """
        if self._user:
            self._drop(manager, *self._user)
        if self._metrics and self._server:
            self._metrics.attached(manager.states)
            self._server.start()
            self._log.note(f"metrics and health at {self._server.url}")
        if self._systemd:
            self._systemd.say("READY=1")

    @property
    def dropped(self) -> bool:
        """Whether privileges are given up here, and not elsewhere."""
        return bool(self._user)

    def beat(self) -> None:
        """The loop has gone round."""
        if self._metrics:
            self._metrics.beat()
        if self._systemd:
            self._systemd.beat()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        if self._metrics:
            self._metrics.ended()
        if self._server:
            self._server.stop()
        if self._systemd:
            self._systemd.say("STOPPING=1")
            self._systemd.close()

    def _drop(self, manager: EbpfManager, uid: int, gid: int) -> None:
        import_all()
        keep = 0
        try:
            with pybpfload.without_capabilities():
                manager.get_stats()
        except BpfError:
            keep = 1 << capabilities.CAP_BPF
        pybpfload.change_user(uid, gid, keep=keep)
        left = "CAP_BPF alone, which this kernel wants for the counters" if keep else "no privilege"
        self._log.note(f"runs as uid {uid}, gid {gid} with {left}")


class Systemd:
    """Tells systemd how the service is doing: sd_notify(3).

    Args:
        path: of the socket; one that begins with @ has no file.
        watchdog_s: after so long without a word we would be restarted; 0 for never.
    """

    def __init__(self, path: str, watchdog_s: float) -> None:
        self._path = "\0" + path[1:] if path.startswith("@") else path
        self._every_s = watchdog_s / 3
        self._next = 0.0
        import socket

        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    @classmethod
    def found(cls) -> Systemd | None:
        """The one that started us, if it wants to know. What we start does not inherit the way there."""
        path = os.environ.pop("NOTIFY_SOCKET", "")
        microseconds, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
        ours = microseconds.isdigit() and pid in {"", str(os.getpid())}
        return cls(path, int(microseconds) / 1e6 if ours else 0.0) if path else None

    def say(self, text: str) -> None:
        """One word; nobody has to hear it."""
        try:
            self._socket.sendto(text.encode(), self._path)
        except OSError:
            pass

    def close(self) -> None:
        """No more to say."""
        self._socket.close()

    def beat(self) -> None:
        """The loop has gone round."""
        now = time.monotonic()
        if self._every_s and now >= self._next:
            self._next = now + self._every_s
            self.say("WATCHDOG=1")


def check_user(user: tuple[int, int]) -> None:
    """Whether this process can become that user.

    Raises:
        NoPrivilegeError: it cannot.
        UsageError: that user is root, who has privileges by being root.
    """
    if not user[0]:
        raise UsageError("--user: root would keep all privileges", hint="name another user: --user nobody")
    if user == (os.getuid(), os.getgid()) == (os.geteuid(), os.getegid()):
        return
    mask = capabilities.effective()
    lacking = [name for name, bit in capabilities.FOR_USER.items() if not mask >> bit & 1]
    if lacking:
        raise NoPrivilegeError(
            f"--user: to become uid {user[0]} takes {' and '.join(lacking)}",
            hint="run it as root, or add these capabilities; they are given up with the others",
        )


def import_all() -> None:
    """Import what would be imported later: another user may not reach the files then."""
    from pkgutil import walk_packages

    for name in PACKAGES:
        package = import_module(name)
        for found in walk_packages(package.__path__, f"{name}."):
            if not found.name.startswith(NOT_NEEDED):
                import_module(found.name)
