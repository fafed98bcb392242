"""Connections for tests of the wire: a probe on a control group of the test's own, and things to say."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pybpfload
from tests.support.ports import free_port
from tests.support.sandbox import cgroup
from tests.support.sources import ROOT
from tracer.clock import BootClock
from tracer.decode import Decoder
from tracer.wire.flows import Flows
from tracer.wire.talk import read_talk

MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}[os.uname().machine]
LOCAL = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
DEADLINE_S = 30.0

# A server of TLS in a process of its own: says pid and port, then serves so many connections, in children with "fork".
SERVER = """
import os, socket, ssl, sys
family, count, certificate, key, fork, version = sys.argv[1:7]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
if version:
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
family = int(family)
server = socket.create_server((sys.argv[7], int(sys.argv[8])), family=family, backlog=1024)
print(os.getpid(), server.getsockname()[1], flush=True)
for n in range(int(count)):
    sock, _ = server.accept()
    child = os.fork() if fork == "fork" else 0
    if child:
        print(child, flush=True)
        sock.close()
        os.waitpid(child, 0)
        continue
    try:
        with context.wrap_socket(sock, server_side=True) as tls:
            while data := tls.recv(65536):
                tls.sendall(data)
    except (ssl.SSLError, OSError) as error:
        pass
    if fork == "fork":
        os._exit(0)
"""


class Wire:
    """The probe on a control group, and what comes of it.

    Attributes:
        records: fields of all records so far.
        told: what became of them.
    """

    def __init__(self, obj, ring) -> None:
        self.obj = obj
        self._ring = ring
        self._flows = Flows(read_talk)
        self.records: list[dict] = []
        self.told: list = []

    def poll(self) -> None:
        """Take in what has come."""
        while events := self._ring.poll(0.02):
            events.sort(key=lambda event: event.fields["time"])
            for event in events:
                self.records.append(event.fields)
                self.told += self._flows.add(event.fields)

    def wait(self, count: int) -> list:
        """The first events, once there are so many."""
        deadline = time.monotonic() + DEADLINE_S
        while len(self.told) < count and time.monotonic() < deadline:
            self.poll()
        assert len(self.told) >= count, (self.told, len(self.records), self._flows.unread)
        return self.told

    def finish(self) -> list:
        """All events; what is not complete is told, too."""
        self.poll()
        self.told += self._flows.close()
        return self.told

    def said(self, port: int, *, sent: bool = True) -> bytes:
        """What was said from a port on, without a gap, as the records of one socket have it."""
        found = bytearray()
        for record in sorted(self.records, key=lambda fields: fields["offset"]):
            if record["from_port"] == port and bool(record["flags"] & 1) == sent:
                assert record["offset"] <= len(found), "there is a gap"
                found[record["offset"] :] = record["data"]
        return bytes(found)

    def counts(self) -> dict[str, int]:
        """The kernel's counters of these records."""
        number = self.obj.spec.btf.enum_values("ct_kind")["CT_WIRE_DATA"]
        rows = self.obj.maps["counters"][number]
        return {name: sum(getattr(row, name) for row in rows) for name in ("sent", "full", "unread")}


@contextlib.contextmanager
def wire(*, ring_size: int = 0, where: Path | None = None, **knobs: int) -> Iterator[Wire]:
    """The probe, on a control group that this process is in; or on another one."""
    spec = pybpfload.read_object(ROOT / "bpf" / "objects" / MACHINE / "wire_trace.bpf.o")
    for name, value in knobs.items():
        spec.variables[name] = value
    if ring_size:
        spec.maps["events"].max_entries = ring_size
    with contextlib.ExitStack() as stack:
        path = where or stack.enter_context(cgroup())
        obj = stack.enter_context(pybpfload.load(spec))
        for program in obj.programs.values():
            stack.enter_context(pybpfload.attach_cgroup(program, path))
        decoder = Decoder(spec.records["events"], spec.btf, BootClock())
        ring = stack.enter_context(pybpfload.RingReader(obj.maps["events"], decode=decoder))
        yield Wire(obj, ring)


def make_certificate(folder: Path) -> tuple[str, str]:
    """Files of a certificate for `wire.test`, signed by itself, and of its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "30", "-subj", "/CN=wire.test"],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(certificate), str(key)


class Server:
    """A server of TLS as a child process. Attributes: pid, port."""

    def __init__(
        self,
        certificate: tuple[str, str],
        *,
        count: int = 1,
        family: int = socket.AF_INET,
        host: str = "",
        fork: bool = False,
        version: str = "",
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.family, self.host = family, host or LOCAL[family]
        port = free_port(LOCAL[family])  # a host of its own may be in another network namespace
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-I", "-S", "-c", SERVER, str(int(family)), str(count), *certificate,
             "fork" if fork else "", version, self.host, str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.pid, self.port = map(int, self.process.stdout.readline().split())

    def child(self) -> int:
        """The pid of the next child."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def connect(self) -> socket.socket:
        """A connection to it, without TLS."""
        sock = socket.socket(self.family)
        sock.settimeout(DEADLINE_S)
        sock.connect((self.host, self.port))
        return sock

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def client_context(version: str = "") -> ssl.SSLContext:
    """For a client that believes anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


def hello(name: str = "wire.test") -> bytes:
    """A ClientHello, as a library makes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def shake(sock: socket.socket, piece: int = 0, name: str = "wire.test") -> ssl.SSLObject:
    """A handshake by hand: what is sent goes in pieces of so many bytes, each in a packet of its own."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname=name)
    done = False
    while not done:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        data = outgoing.read()
        for begin in range(0, len(data), piece or len(data) or 1):
            sock.sendall(data[begin : begin + piece] if piece else data)
        if not done:
            incoming.write(sock.recv(65536))
    return tls
