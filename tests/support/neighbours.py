"""Containers without a runtime: network namespaces, cables between them, control groups, and processes in both."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.sandbox import cgroup
from tests.support.workloads import Workload, wait_until

# Of the two ends of a cable.
ADDRESSES = {socket.AF_INET: ("10.99.0.1", "10.99.0.2"), socket.AF_INET6: ("fd99::1", "fd99::2")}
PORT, CLIENT_PORT = 4433, 40001

# A server of TLS for one connection; before it answers, it waits for a line.
SERVE = """
import socket, ssl
family, host, port, certificate, key, version, wait = sys.argv[1:8]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
if version:
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
with socket.create_server((host, int(port)), family=int(family)) as server:
    sock = server.accept()[0]
if wait:
    sys.stdin.readline()
with context.wrap_socket(sock, server_side=True) as tls:
    tls.sendall(tls.recv(1))
    tls.recv(1)
"""

# Its client; it tries until there is a server.
CONNECT = """
import socket, ssl, time
family, host, port, own = sys.argv[1:5]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
while True:
    sock = socket.socket(int(family))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", int(own)))
    try:
        sock.connect((host, int(port)))
        break
    except ConnectionRefusedError:
        sock.close()
        time.sleep(0.01)
with context.wrap_socket(sock, server_hostname="veth.test") as tls:
    tls.sendall(b"x")
    tls.recv(1)
    print(tls.version(), tls.cipher()[0])
"""


class Place(NamedTuple):
    """Where a process runs: a network namespace, a control group or none.

    Attributes:
        holder: a process that is in the namespace.
    """

    holder: int
    group: Path | None = None

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that make it run there."""
        there = ("nsenter", "--target", str(self.holder), "--net")
        group = self.group and ("sh", "-c", f'echo $$ > {self.group}/cgroup.procs; exec "$@"', "sh")
        return (*(group or ()), *there)

    def run(self, *words: str) -> None:
        """Run a command there, which must succeed."""
        done = subprocess.run([*self.prefix, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"

    def ip(self, words: str) -> None:
        """The same of the program ip."""
        self.run("ip", *words.split())


@contextlib.contextmanager
def place(group: Path | None = None) -> Iterator[Place]:
    """A network namespace, where `lo` is up."""
    own = os.readlink("/proc/thread-self/ns/net")
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as process:
        try:
            wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != own, "the namespace")
            found = Place(process.pid, group)
            found.ip("link set lo up")
            yield found
        finally:
            process.kill()


def join(one: Place, other: Place, number: int = 99) -> None:
    """A cable between two namespaces. Its ends have the addresses of ADDRESSES, or others instead of 99."""
    name = f"cable{number}"
    one.ip(f"link add {name} type veth peer name {name} netns {other.holder}")
    for end, host in zip((one, other), (1, 2)):
        end.ip(f"address add 10.{number}.0.{host}/24 dev {name}")
        end.ip(f"address add fd{number}::{host}/64 dev {name} nodad")
        end.ip(f"link set {name} up")


@contextlib.contextmanager
def pair(client: Path | None = None, server: Path | None = None) -> Iterator[tuple[Place, Place]]:
    """Two namespaces with a cable between them, for a client and a server, in control groups."""
    with place(client) as one, place(server) as other:
        join(one, other)
        yield one, other


@contextlib.contextmanager
def containers() -> Iterator[tuple[Path, Path, Path]]:
    """A control group, and two in it with names as a runtime gives them."""
    with cgroup(inside=False) as parent:
        found = [parent / f"docker-{digit * 64}.scope" for digit in "ab"]
        for path in found:
            path.mkdir()
        try:
            yield (parent, *found)
        finally:
            for path in found:
                wait_until(lambda path=path: not (path / "cgroup.procs").read_text(), "an empty group")
                path.rmdir()


def server(
    where: Place, certificate: tuple[str, str], family: int, *, host: str = "", version: str = "", wait: bool = False
) -> Workload:
    """A server of TLS that `start()` lets listen."""
    words = (str(int(family)), host or ADDRESSES[family][1], str(PORT), *certificate, version, "wait" if wait else "")
    return Workload(SERVE, *words, prefix=where.prefix)


def client(where: Place, family: int, *, host: str = "", port: int = PORT) -> Workload:
    """Its client, which `start()` lets try, and `go()`."""
    return Workload(
        CONNECT, str(int(family)), host or ADDRESSES[family][1], str(port), str(CLIENT_PORT), prefix=where.prefix
    )
