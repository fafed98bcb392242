"""The whole tool beside real programs: each connection is one event, and says what the programs themselves print."""

from __future__ import annotations

import os
import socket

import pytest

from tests.e2e.test_wire_programs import comparable, expected_of
from tests.support import pairs, talkers
from tests.support.pairs import PAIRS
from tests.support.sandbox import cgroup
from tests.support.wire import Server, client_context, make_certificate
from tests.support.workloads import Tracer, Workload

pytestmark = pytest.mark.kernel


def on_the_wire(tracer, port):
    """The events of connections to a port."""
    events = tracer.events()
    return [e for e in events if e.get("source") == "wire" and port in (e["peer_port"], e["local_port"])]


def test_wire_real_programs_at_the_root_of_all_groups(tmp_path):
    """A few pairs, as users watch; test_tls_command.py has all of them, in a group of their own."""
    pairs.FOLDER[0] = folder = talkers.make_certificates(tmp_path)
    there = [pair for pair in PAIRS if pair.needs == ("openssl",)][:5]
    assert there
    said = {}
    with Tracer("--no-redact") as tracer:
        for pair in there:
            with pair.server(folder) as port:
                said[pair.name] = port, pair.client("127.0.0.1", port)
        assert tracer.stop() == 130
        for pair in there:
            port, words = said[pair.name]
            events = [event for event in on_the_wire(tracer, port) if event["peer_port"] == port]
            assert len(events) == pair.connections
            expected = expected_of(pair, words)
            fields = comparable({k: tuple(v) if isinstance(v, list) else v for k, v in events[-1].items()})
            assert {name: fields[name] for name in expected} == expected
            assert (fields["role"], fields["truncated"]) == ("client", False)
            assert fields["peer_pid"] not in (None, fields["pid"])


@pytest.mark.parametrize("inside", ["client", "server"])
def test_wire_cgroup_with_one_end_in_it_tells_that_end(tmp_path, inside):
    """What comes from outside is seen as it is received."""
    certificate = make_certificate(tmp_path)
    with cgroup(inside=False) as path:
        mover = ("sh", "-c", f'echo $$ > {path}/cgroup.procs; exec "$@"', "sh") if inside == "server" else ()
        with Server(certificate, prefix=mover) as server, Tracer("--cgroup", str(path)) as tracer:
            home = f"{path.parent}{own_cgroup()}"
            if inside == "client":
                (path / "cgroup.procs").write_text(str(os.getpid()))
            try:
                with server.connect() as raw, client_context().wrap_socket(raw) as tls:
                    port = tls.getsockname()[1]
            finally:
                if inside == "client":
                    with open(f"{home}/cgroup.procs", "w") as file:
                        file.write(str(os.getpid()))
            assert tracer.stop() == 130
            found = on_the_wire(tracer, server.port)
        pid = os.getpid() if inside == "client" else server.pid
    assert [(event["role"], event["pid"], event["peer_pid"], event["truncated"]) for event in found] == [
        (inside, pid, None, False)
    ]
    assert port in (found[0]["local_port"], found[0]["peer_port"])


def own_cgroup() -> str:
    with open("/proc/self/cgroup") as file:
        return next(line.strip().split("::", 1)[1] for line in file if line.startswith("0::"))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_wire_and_library_tell_the_same_connection_each_by_its_source(tmp_path, family):
    """Told apart by `source`; a pid of a filter leaves its own side."""
    with (
        Server(make_certificate(tmp_path), family=family) as server,
        Tracer("--pid", str(server.pid), "--no-redact") as tracer,
    ):
        with server.connect() as raw, client_context().wrap_socket(raw):
            pass
        assert server.process.wait(30) == 0
        assert tracer.stop() == 130
        events = [event for event in tracer.events() if event["event_type"] == "tls_handshake"]
    assert {event["pid"] for event in events} == {server.pid}
    assert [event["role"] for event in events if event["source"] == "wire"] == ["server"]
    assert all(
        event["evidence"] == {"wire": "negotiated", "library": "initialised"}[event["source"]] for event in events
    )
    assert [event["peer_pid"] for event in events if event["source"] == "wire"] == [os.getpid()]


def test_wire_ssh_is_shown_with_redaction_too():
    """As users run it: an event that has no record of its own in the kernel."""
    code = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    other, _ = server.accept()
    with other:
        for one, two, text in ((client, other, b"SSH-2.0-one\\r\\n"), (other, client, b"SSH-2.0-two\\r\\n")):
            one.send(text)
            two.recv(100)
"""
    with Workload(code) as workload, Tracer("-p", str(workload.pid)) as tracer:
        workload.go()
        assert tracer.wait() == 0
        shaken = [event for event in tracer.events(workload.pid) if event["event_type"] == "ssh_handshake"]
    assert {event["version"] for event in shaken} == {"SSH 2.0"}


def test_wire_server_among_several_processes_tells_its_side(tmp_path):
    """The kernel cannot compare several ids, so it lets both ends through; the client was not asked for."""
    with Server(make_certificate(tmp_path)) as server:
        with Tracer("--pid", str(server.pid), "--pid", str(os.getppid())) as tracer:
            with server.connect() as raw, client_context().wrap_socket(raw):
                pass
            assert tracer.stop() == 130
            found = on_the_wire(tracer, server.port)
        told = [(event["role"], event["pid"], event["peer_pid"], event["truncated"]) for event in found]
        assert told == [("server", server.pid, os.getpid(), False)]
