# SPDX-License-Identifier: MIT
"""Measure what the probe on the wire costs: a handshake, a packet of bulk data, and many connections at once.

    python -m bench.wire [--rounds N] [--rate N] [--seconds S]

Needs root, gcc and openssl. Everything happens in a control group of its own. Nothing, the probe, and uprobes on 20
functions of OpenSSL, as the tracer in C has them, take turns; times are CPU time of both ends of the connections, with
what the kernel does for them. Medians of pairs: each round is compared with the one without a probe beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pybpfload
from bench.table import print_row
from tracer.log import WARNINGS, Log
from tracer.manager import EbpfManager
from tracer.objects import architecture
from tracer.probes.wire import WIRE
from tracer.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
MESSAGE, WARM = 64, 1 << 16

# Serves TLS or echoes, and says how much CPU time it has used when it is asked to.
SERVER = """
import socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    sock, _ = server.accept()
    kind = sock.recv(1, socket.MSG_PEEK)
    if kind == b"?":
        sock.sendall(str(time.process_time_ns()).encode())
    elif kind == b"\\x16":
        context.wrap_socket(sock, server_side=True).close()
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := sock.recv(65536):
            sock.sendall(data)
    sock.close()
"""
# Functions that the tracer in C has uprobes on, or that a handshake calls as often.
FUNCTIONS = (
    "SSL_CTX_new", "SSL_CTX_free", "SSL_CTX_use_certificate_file", "SSL_CTX_use_PrivateKey_file",
    "SSL_CTX_set_cipher_list", "SSL_CTX_set_ciphersuites", "SSL_CTX_load_verify_locations", "SSL_new", "SSL_free",
    "SSL_set_fd", "SSL_connect", "SSL_accept", "SSL_do_handshake", "SSL_read", "SSL_write", "SSL_shutdown",
    "SSL_get_error", "SSL_get_version", "SSL_set_connect_state", "SSL_set_accept_state",
)  # fmt: skip


@contextlib.contextmanager
def own_cgroup() -> Iterator[Path]:
    """A control group that this process is in."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        root = Path(next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2"))
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        home = root / next(line.strip().split("::/", 1)[1] for line in file if line.startswith("0::"))
    path = root / f"crypto-tracer-bench-{os.getpid()}"
    path.mkdir()
    (path / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield path
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
        path.rmdir()


class Ends:
    """A server, and what this process does with it."""

    def __init__(self, folder: str) -> None:
        certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
             "-days", "3", "-subj", "/CN=bench.test"], check=True, capture_output=True,
        )  # fmt: skip
        command = [sys.executable, "-I", "-S", "-c", SERVER, certificate, key]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = ("127.0.0.1", int(self.process.stdout.readline()))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def close(self) -> None:
        """End the server."""
        self.process.kill()
        self.process.communicate()

    def cpu_ns(self) -> int:
        """What both ends have used so far."""
        with socket.create_connection(self.address) as sock:
            sock.sendall(b"?")
            return int(sock.recv(100)) + time.process_time_ns()

    def handshakes(self, count: int) -> float:
        """CPU time of each, in nanoseconds."""
        before = self.cpu_ns()
        for _ in range(count):
            with socket.create_connection(self.address) as raw, self.context.wrap_socket(raw):
                pass
        return (self.cpu_ns() - before) / count

    def messages(self, count: int) -> float:
        """CPU time of a small message and its echo, in nanoseconds; each is two packets with data."""
        with socket.create_connection(self.address) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            left = WARM
            sock.sendall(b"x" * WARM)
            while left:
                left -= len(sock.recv(65536))
            data = b"x" * MESSAGE
            began = time.process_time_ns()
            for _ in range(count):
                sock.sendall(data)
                sock.recv(65536)
            return (time.process_time_ns() - began) / count


def load(name: str, **knobs: int) -> pybpfload.BpfObject:
    """An object of the tracer, or of its tests."""
    path = ROOT / "bpf" / "objects" / architecture() / f"{name}.bpf.o"
    spec = pybpfload.read_object(path if path.exists() else ROOT / "tests" / "data" / f"{name}.bpf.o")
    for knob, value in knobs.items():
        spec.variables[knob] = value
    for program in spec.programs.values():
        program.autoload = name != "cgroups" or program.name in ("skb_egress", "skb_ingress")
    return pybpfload.load(spec)


def libssl() -> str:
    """The library that this process has mapped."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return next(line.split()[-1] for line in maps if "libssl" in line)


@contextlib.contextmanager
def way(name: str, cgroup: Path, objects: dict[str, pybpfload.BpfObject]) -> Iterator[None]:
    """With nothing attached, or one of the others."""
    with contextlib.ExitStack() as stack:
        if name == "20 uprobes":
            for function in FUNCTIONS:
                program = objects[name].programs["on_entry"]
                stack.enter_context(pybpfload.attach_uprobe(program, libssl(), function))
        elif name != "nothing":
            for program in objects[name].programs.values():
                stack.enter_context(pybpfload.attach_cgroup(program, cgroup))
        yield


def turn(ways: dict[str, list[float]], number: int) -> list[str]:
    """Each time another one comes first."""
    names = list(ways)
    return names[number % len(names) :] + names[: number % len(names)]


def paired(found: dict[str, list[float]]) -> dict[str, float]:
    """What each way adds: the median of its distances from the round without."""
    base = found["nothing"]
    return {
        name: statistics.median(with_it - without for with_it, without in zip(values, base))
        for name, values in found.items()
        if name != "nothing"
    }


def compare(ends: Ends, cgroup: Path, rounds: int) -> None:
    """Handshakes, then packets."""
    objects = {"wire": load("wire_trace"), "20 uprobes": load("uprobe")}
    with contextlib.ExitStack() as stack:
        for obj in objects.values():
            stack.enter_context(obj)
        ring = stack.enter_context(pybpfload.RingReader(objects["wire"].maps["events"], decode=lambda *_: None))
        found: dict[str, list[float]] = {"nothing": [], "wire": [], "20 uprobes": []}
        ends.handshakes(50)
        for number in range(4 * rounds):
            for name in turn(found, number):
                with way(name, cgroup, objects):
                    ends.handshakes(2)
                    found[name].append(ends.handshakes(20))
                while ring.poll(0):
                    pass
        base = statistics.median(found["nothing"])
        print(f"a TLS 1.3 handshake, CPU time of both ends: {base / 1e3:.0f} us; medians of {4 * rounds} pairs")
        for name, added in paired(found).items():
            print_row(name, f"{added / 1e3:+.1f} us", f"{100 * added / base:+.2f} %")
    print()


def packets(ends: Ends, cgroup: Path, rounds: int) -> None:
    """Packets behind the beginning, by the kernel's own clock around each program, and by what a message takes."""
    # What comes in over `lo` is let pass at once, so here it is looked at like all else.
    objects = {"wire": load("wire_trace", targ_received=1), "empty": load("cgroups")}
    with contextlib.ExitStack() as stack:
        for obj in objects.values():
            stack.enter_context(obj)
        stack.enter_context(pybpfload.RunStats())
        took: dict[str, dict[str, list[float]]] = {name: {} for name in objects}
        for _ in range(rounds):
            for name, obj in objects.items():
                before = {each.name: each.stats() for each in obj.programs.values()}
                with way(name, cgroup, objects):
                    ends.messages(3000)
                for each in obj.programs.values():
                    stats, old = each.stats(), before[each.name]
                    side = "egress" if "egress" in each.name else "ingress"
                    ns = (stats.run_time_ns - old.run_time_ns) / (stats.run_count - old.run_count)
                    took[name].setdefault(side, []).append(ns)
    print(
        f"a packet of bulk data, time within the program; medians of {rounds}. A program that only counts takes as well"
    )
    for side in ("egress", "ingress"):
        wire, empty = (statistics.median(took[name][side]) for name in ("wire", "empty"))
        print_row(side, f"{wire:.0f} ns", f"empty: {empty:.0f} ns", f"{wire - empty:+.0f} ns")
    found: dict[str, list[float]] = {"nothing": [], "wire": []}
    objects = {"wire": load("wire_trace", targ_received=1)}
    with objects["wire"]:
        for number in range(4 * rounds):
            for name in turn(found, number):
                with way(name, cgroup, objects):
                    found[name].append(ends.messages(2000))
    added = paired(found)["wire"]
    print_row("CPU time of a message and its echo", f"{statistics.median(found['nothing']):.0f} ns", f"{added:+.0f} ns")
    print()


def hellos(folder: str) -> tuple[str, str]:
    """Files with what a client and a server say."""
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(f"{folder}/certificate.pem", f"{folder}/key.pem")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.wrap_bio(back, there, server_hostname="bench.test").do_handshake()
    hello = there.read()
    there.write(hello)
    with contextlib.suppress(ssl.SSLWantReadError):
        server.wrap_bio(there, back, server_side=True).do_handshake()
    names = f"{folder}/hello", f"{folder}/answer"
    for name, data in zip(names, (hello, back.read())):
        Path(name).write_bytes(data)
    return names


def many(folder: str, cgroup: Path, rate: int, seconds: float) -> None:
    """So many connections a second, and what becomes of them."""
    program = f"{folder}/hellos"
    subprocess.run(["gcc", "-O2", "-o", program, str(ROOT / "bench" / "hellos.c")], check=True)
    command = [program, str(rate), str(seconds), *hellos(folder)]
    settings = Settings(own_pid=os.getpid(), cgroup=str(cgroup))
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load,
        EbpfManager.create([WIRE], settings, Log(WARNINGS + 1, sys.stderr)) as manager,
    ):
        assert load.stdin is not None
        assert load.stdout is not None
        load.stdout.readline()
        manager.load_programs()
        manager.attach_programs()
        load.stdin.write("\n")
        load.stdin.flush()
        events: list[Any] = []
        used = time.process_time()
        while load.poll() is None:
            events += manager.poll_events(0.01)
        manager.detach_programs()
        while got := manager.poll_events(0.1):
            events += got
        used = time.process_time() - used
        done, took_s = load.stdout.readline().split()
        stats = manager.get_stats()
    whole = sum(not event.fields["truncated"] for event in events)
    counts = {
        "connections": int(done),
        "a second": round(int(done) / float(took_s)),
        "events": len(events),
        "of these truncated": len(events) - whole,
        "records sent": stats.sent,
        "received": stats.processed,
        "lost, counted": stats.dropped,
    }
    print(f"{rate or 'as many as possible':,} connections a second: {json.dumps(counts)}")
    print_row("CPU time of the tracer, us an event", f"{used / max(len(events), 1) * 1e6:.0f}")
    if stats.sent != stats.processed + stats.undecodable + stats.dropped:
        raise RuntimeError(f"the sums do not add up: {stats}")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.wire", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="of each (default %(default)s)")
    parser.add_argument("--rate", type=int, default=10_000, metavar="N", help="connections a second")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, own_cgroup() as cgroup:
        ends = Ends(folder)
        try:
            compare(ends, cgroup, options.rounds)
            packets(ends, cgroup, options.rounds)
        finally:
            ends.close()
        many(folder, cgroup, options.rate, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
