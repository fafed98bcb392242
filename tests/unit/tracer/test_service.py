"""Metrics and health over HTTP, and what systemd hears."""

from __future__ import annotations

import http.client
import os
import socket

import pytest

from tests.unit.tracer.test_metrics import made, state
from tracer.errors import NoPrivilegeError, TracerError, UsageError
from tracer.health import ask
from tracer.log import Log
from tracer.proc import capabilities
from tracer.service import Systemd, check_user
from tracer.webserver import AT_ONCE, Server


@pytest.fixture
def metrics():
    found = made()
    found.attached([state("a")])
    return found


@pytest.fixture
def server(metrics):
    made_server = Server(("127.0.0.1", 0), metrics)
    made_server.start()
    yield made_server
    made_server.stop()


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], text


def test_format_is_what_the_client_asks_for(server):
    """Prometheus asks for OpenMetrics, which has an end; others get the older format."""
    _, kind, text = get(server, "/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    _, kind, text = get(server, "/metrics")
    assert kind.startswith("text/plain")
    assert "# EOF" not in text


def test_health_is_503_when_it_is_not_well(server, metrics):
    """Kubernetes looks at the status alone."""
    assert get(server, "/readyz")[0] == 200
    assert get(server, "/healthz")[0] == 200
    metrics.ended()
    assert get(server, "/readyz")[0] == 503
    assert get(server, "/healthz")[0] == 200


def test_there_is_nothing_else(server):
    """No other path, and no other method."""
    assert get(server, "/")[0] == 404
    assert get(server, "/metrics", "POST")[0] == 501
    assert get(server, "/metrics", "HEAD")[2] == ""


def test_clients_that_say_nothing_do_not_pile_up(server):
    """Beyond a number, a connection is closed at once."""
    silent = [socket.create_connection(server.server_address, 10) for _ in range(AT_ONCE)]
    try:
        with socket.create_connection(server.server_address, 10) as one_more:
            one_more.settimeout(10)
            assert one_more.recv(1) == b""
    finally:
        for each in silent:
            each.close()


def test_ask_tells_what_the_server_says(server, metrics):
    """Both questions in one line; a bad answer is an error."""
    assert ask(server.server_address, ["live", "ready"]) == "live, ready: 1 of 1 probes"
    metrics.ended()
    with pytest.raises(TracerError, match="not ready: 1 of 1 probes"):
        ask(server.server_address, ["ready"])
    with pytest.raises(UsageError, match="health wrong"):
        ask(server.server_address, ["wrong"])


def test_ask_where_nobody_listens():
    """The address is in the message."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with pytest.raises(TracerError, match=f"nobody answers at 127.0.0.1 port {address[1]}"):
        ask(address, ["live"])


def test_address_that_is_taken(server, metrics):
    """Said before anything is loaded."""
    with pytest.raises(TracerError, match="--metrics: cannot listen"):
        Server(server.server_address, metrics)


def test_stop_gives_the_address_back(metrics):
    """The next one can have it."""
    first = Server(("127.0.0.1", 0), metrics)
    first.start()
    address = first.server_address
    first.stop()
    Server(address, metrics).stop()


def test_user_takes_capabilities(monkeypatch):
    """Said before anything is loaded, with what is missing."""
    monkeypatch.setattr(capabilities, "effective", lambda: 1 << capabilities.CAP_SETUID)
    with pytest.raises(NoPrivilegeError, match=r"to become uid 12345 takes CAP_SETGID$"):
        check_user((12345, 12345))
    for name in ("getuid", "getgid", "geteuid", "getegid"):
        monkeypatch.setattr(os, name, lambda: 12345)
    check_user((12345, 12345))


def test_systemd_hears_it(tmp_path, monkeypatch):
    """Ready once; the watchdog in thirds of its time; and nobody else gets the socket."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        found = Systemd.found()
        found.say("READY=1")
        found.beat()
        found.beat()
        found.say("STOPPING=1")
        assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    found.say("nobody listens")
    found.close()
    assert "NOTIFY_SOCKET" not in os.environ
    assert Systemd.found() is None


def test_journal_gets_levels(monkeypatch, capfd):
    """Journalctl -p warning shows warnings; a terminal shows no numbers."""
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    Log().warning("a", hint="b")
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    Log().note("c")
    assert capfd.readouterr().err == "<4>crypto-tracer: warning: a\n<4>  hint: b\ncrypto-tracer: c\n"


def test_user_root_is_refused():
    """Nothing would be dropped."""
    with pytest.raises(UsageError, match="root would keep"):
        check_user((0, 65534))
