"""Processes that speak through network namespaces of their own, as containers do: one event of each connection."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess

import pytest

from tests.support.gates import require_tool
from tests.support.neighbours import ADDRESSES, CLIENT_PORT, PORT, client, containers, join, pair, place, server
from tests.support.wire import make_certificate
from tests.support.workloads import Tracer, wait_until

pytestmark = pytest.mark.kernel
CONNECTED, UNCONNECTED, LISTENS = "01", "07", "0A"  # include/net/tcp_states.h
FAMILIES = [socket.AF_INET, socket.AF_INET6]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of certificate and key."""
    require_tool("openssl")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def handshakes(tracer, *pids):
    """What the wire has of processes, on either side."""
    found = [event for event in tracer.events() if event.get("source") == "wire"]
    return [event for event in found if event["pid"] in pids or event["peer_pid"] in pids]


def sides(events):
    """Who speaks to whom, as the events have it."""
    return [(event["role"], event["pid"], event["peer_pid"], event["truncated"]) for event in events]


def has_socket(where, family, state, protocol="tcp"):
    """Whether there is one in a network namespace."""
    name = protocol if family == socket.AF_INET else f"{protocol}6"
    with open(f"/proc/{where.holder}/net/{name}") as file:
        return any(line.split()[3] == state for line in file)


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_containers_are_one_event_with_two_processes(certificate, family, version, first):
    """Whoever is there first; told by the client, as on the loopback device."""
    with containers() as (_, *groups), pair(*groups) as (here, there), Tracer("--no-redact") as tracer:
        with server(there, certificate, family, version=version) as serving, client(here, family) as calling:
            (calling if first == "client" else serving).start()
            (serving if first == "client" else calling).start()
            wait_until(lambda: calling.ended and serving.ended, "the handshake")
            said, number = calling.go().split(), groups[0].stat().st_ino
        assert tracer.stop() == 130
        (event,) = handshakes(tracer, calling.pid, serving.pid)
    near, far = ADDRESSES[family]
    assert sides([event]) == [("client", calling.pid, serving.pid, False)]
    assert (event["local_address"], event["local_port"]) == (near, CLIENT_PORT)
    assert (event["peer_address"], event["peer_port"]) == (far, PORT)
    assert (event["cgroup"], event["container"]) == (number, "a" * 64)
    assert event["version"] == said[0].replace("v", " ")
    assert event["suite"] == said[1] or version == "TLSv1_2"
    assert event["sni"] == "veth.test"


@pytest.mark.parametrize(
    ("option", "role", "both"),
    [
        ("--pid client", "client", True),
        ("--pid server", "server", True),
        ("--pid server --pid self", "server", True),
        ("--container client", "client", True),
        ("--container server", "server", True),
        ("--cgroup client", "client", False),
        ("--cgroup server", "server", False),
        ("--cgroup parent", "client", True),
        ("--pid self", None, False),
    ],
)
def test_filter_shows_it_if_it_is_for_either_side(certificate, option, role, both):
    """From that side. Of a control group, only its own sockets are looked at."""
    family = socket.AF_INET
    with (
        containers() as (parent, *groups),
        pair(*groups) as (here, there),
        server(there, certificate, family) as serving,
        client(here, family) as calling,
    ):
        words = {
            "--pid": {"client": str(calling.pid), "server": str(serving.pid), "self": str(os.getpid())},
            "--container": {"client": "a" * 12, "server": "b" * 12},
            "--cgroup": {"client": str(groups[0]), "server": str(groups[1]), "parent": str(parent)},
        }
        flags = option.split()
        arguments = [word for name, which in zip(flags[::2], flags[1::2]) for word in (name, words[name][which])]
        with Tracer(*arguments) as tracer:
            serving.start()
            calling.start()
            wait_until(lambda: calling.ended and serving.ended, "the handshake")
            tracer.stop()
            found = sides(handshakes(tracer, calling.pid, serving.pid))
    pids = {"client": (calling.pid, serving.pid), "server": (serving.pid, calling.pid)}
    expected = [(role, pids[role][0], pids[role][1] if both else None, False)] if role else []
    assert found == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_two_pairs_with_the_same_addresses_and_ports_are_two(certificate, family):
    """At the same time: nobody of the one speaks to anybody of the other."""
    with pair() as one, pair() as other, Tracer() as tracer, contextlib.ExitStack() as stack:
        talks = [
            (
                stack.enter_context(client(here, family)),
                stack.enter_context(server(there, certificate, family, wait=True)),
            )
            for here, there in (one, other)
        ]
        for calling, serving in talks:
            serving.start()
            calling.start()
        wait_until(lambda: all(has_socket(here, family, CONNECTED) for here, _ in (one, other)), "two connections")
        for _, serving in talks:
            serving.start()  # the line that it waits for
        wait_until(lambda: all(each.ended for talk in talks for each in talk), "the handshakes")
        assert tracer.stop() == 130
        found = handshakes(tracer, *(each.pid for talk in talks for each in talk))
    expected = [("client", calling.pid, serving.pid, False) for calling, serving in talks]
    assert sorted(sides(found)) == sorted(expected)
    assert {(event["peer_address"], event["peer_port"]) for event in found} == {(ADDRESSES[family][1], PORT)}


@pytest.mark.parametrize("family", FAMILIES)
def test_datagrams_between_two_containers_are_one_event(certificate, family):
    """They have no numbers that both sides know; what the client says first does."""
    number = "-4" if family == socket.AF_INET else "-6"
    address = ADDRESSES[family][1] if number == "-4" else f"[{ADDRESSES[family][1]}]"
    with pair() as (here, there), Tracer() as tracer, contextlib.ExitStack() as stack:

        def openssl(where, *words):
            command = [*where.prefix, require_tool("openssl"), *words, "-dtls1_2"]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            )
            stack.callback(process.kill)
            return process

        certificate_words = ("-cert", certificate[0], "-key", certificate[1])
        serving = openssl(there, "s_server", number, "-accept", str(PORT), "-naccept", "1", *certificate_words)
        wait_until(lambda: has_socket(there, family, UNCONNECTED, "udp"), "a server")
        calling = openssl(here, "s_client", number, "-connect", f"{address}:{PORT}")
        wait_until(lambda: handshakes(tracer, calling.pid, serving.pid), "the handshake")
        calling.kill()
        assert tracer.stop() == 130
        (event,) = handshakes(tracer, calling.pid, serving.pid)
    assert sides([event]) == [("client", calling.pid, serving.pid, False)]
    assert (event["transport"], event["version"], event["resumed"]) == ("DTLS", "DTLS 1.2", False)


RULES = """
table ip translation {
    chain before { type nat hook prerouting priority -100; tcp dport 8443 dnat to 10.98.0.2:4433; }
    chain after { type nat hook postrouting priority 100; oifname "cable98" masquerade; }
}
"""


def test_translated_addresses_between_two_containers_are_one_event(certificate, tmp_path):
    """As a published port, or the address of a service: what the client sees of it is told."""
    (tmp_path / "rules").write_text(RULES)
    nft, family = require_tool("nft"), socket.AF_INET
    with place() as here, place() as between, place() as there, Tracer() as tracer:
        join(here, between)
        join(between, there, 98)
        between.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        between.run(nft, "-f", str(tmp_path / "rules"))
        with (
            server(there, certificate, family, host="10.98.0.2") as serving,
            client(here, family, host="10.99.0.2", port=8443) as calling,
        ):
            serving.start()
            wait_until(lambda: has_socket(there, family, LISTENS), "a server")
            calling.start()
            wait_until(lambda: calling.ended and serving.ended, "the handshake")
        assert tracer.stop() == 130
        (event,) = handshakes(tracer, calling.pid, serving.pid)
    assert sides([event]) == [("client", calling.pid, serving.pid, False)]
    assert (event["local_address"], event["peer_address"], event["peer_port"]) == ("10.99.0.1", "10.99.0.2", 8443)


REDIRECT = """
table ip translation {
    chain out { type nat hook output priority -100; tcp dport 8443 redirect to :4433; }
}
"""


def test_translated_addresses_within_a_namespace_are_one_event(certificate, tmp_path):
    """On the loopback device, where only what is sent is looked at: with the addresses that it is sent to."""
    (tmp_path / "rules").write_text(REDIRECT)
    nft, family, host = require_tool("nft"), socket.AF_INET, "127.0.0.1"
    with place() as here, Tracer() as tracer:
        here.run(nft, "-f", str(tmp_path / "rules"))
        with (
            server(here, certificate, family, host=host) as serving,
            client(here, family, host=host, port=8443) as calling,
        ):
            serving.start()
            wait_until(lambda: has_socket(here, family, LISTENS), "a server")
            calling.start()
            wait_until(lambda: calling.ended and serving.ended, "the handshake")
        assert tracer.stop() == 130
        (event,) = handshakes(tracer, calling.pid, serving.pid)
    assert sides([event]) == [("client", calling.pid, serving.pid, False)]
    assert (event["peer_address"], event["peer_port"]) == (host, PORT)
