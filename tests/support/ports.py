"""Ports for servers: none is given out twice, and none is one that the kernel gives to clients.

Tests tell connections apart by the port of the server. What bind() chooses for port 0 is free now, but may come again
in the next moment: after the server's end as that of another server, or before its start as that of a client.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from pathlib import Path

# Below those that the kernel chooses from by itself: /proc/sys/net/ipv4/ip_local_port_range.
FIRST, LAST = 10000, 32767


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has there and that no test has had: test runs at the same time count on in the same file."""
    path = Path(tempfile.gettempdir(), f"pybpfload-test-ports-{os.getuid()}")
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        port = int(file.read() or LAST)
        for _ in range(FIRST, LAST + 1):
            port = port + 1 if FIRST <= port < LAST else FIRST
            if _is_free(host, port):
                file.seek(0)
                file.truncate()
                file.write(str(port))
                return port
    raise AssertionError("no port is free")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        try:
            one.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True
