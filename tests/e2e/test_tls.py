"""TLS handshakes of real programs: one event for each, and it says what the programs were told."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.support.gates import require_tool
from tests.support.ports import free_port
from tests.support.workloads import DEADLINE_S, Tracer, library_handshakes, of_kind

pytestmark = pytest.mark.kernel

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
CIPHERS = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    return cert, key


@contextlib.contextmanager
def server(command, ready: str):
    """A server, once it has said that it is ready; it is ended at the end."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert any(ready.encode() in line for line in iter(process.stdout.readline, b"")), f"{command}: not ready"
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def run(command, text: str = "", code: int | None = 0) -> int:
    """The pid of a program that has run."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    process.communicate(text, timeout=DEADLINE_S)
    assert code is None or process.returncode == code, command
    return process.pid


def python_server(pair, host: str, count: int, ciphers: str = CIPHERS, fork: bool = False):
    """Takes connections one after the other; in a child each, with `fork`."""
    code = f"""
    import os, socket, ssl, sys
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({pair[0]!r}, {pair[1]!r})
    context.set_ciphers({ciphers!r})
    listener = socket.create_server(({host!r}, 0), family=socket.{"AF_INET6" if ":" in host else "AF_INET"})
    print("ready", listener.getsockname()[1], flush=True)
    for _ in range({count}):
        one, _ = listener.accept()
        child = os.fork() if {fork} else 0
        if child:
            print(child, flush=True); one.close(); os.waitpid(child, 0); continue
        try:
            with context.wrap_socket(one, server_side=True) as tls:
                tls.recv(100); tls.send(b"bye")
        except OSError:
            pass
        if {fork}:
            os._exit(0)
    """
    return [PYTHON, "-c", textwrap.dedent(code)]


@contextlib.contextmanager
def listening(command):
    """The server, and the port that it chose."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline().split()[1])
            process.wait(DEADLINE_S)
        finally:
            process.kill()


def python_client(host: str, port: int, ciphers: str, trusted: str = ""):
    code = f"""
    import socket, ssl
    context = ssl.create_default_context(cafile={trusted or None!r})
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if {bool(trusted)} else ssl.CERT_NONE
    context.set_ciphers({ciphers!r})
    with context.wrap_socket(socket.create_connection(({host!r}, {port}))) as tls:
        tls.send(b"hello"); tls.recv(100)
    """
    return [PYTHON, "-c", textwrap.dedent(code)]


def handshakes(tracer, *pids):
    assert tracer.stop() == 130
    return by_library(tracer.events(*pids))


def by_library(events):
    """Those that functions of libraries told of; what the wire shows is in test_wire.py."""
    return library_handshakes(events)


def shown(event):
    return (event["role"], event["success"], event["peer_address"], event["certificate"], event["cipher_list"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tls_python_both_sides_have_one_event_each(pair, host):
    """Blocking sockets, IPv4 and IPv6."""
    with Tracer("--no-redact") as tracer, listening(python_server(pair, host, 1)) as (process, port):
        client = run(python_client(host, port, "ECDHE+AESGCM"))
        process.wait(DEADLINE_S)
        events = handshakes(tracer, client, process.pid)
    ours = [event for event in events if event["pid"] == client]
    theirs = [event for event in events if event["pid"] == process.pid]
    assert [shown(event) for event in ours] == [("client", True, host, None, "ECDHE+AESGCM")]
    assert [shown(event) for event in theirs] == [("server", True, host, pair[0], CIPHERS)]
    assert ours[0]["peer_port"] == port == theirs[0]["local_port"]
    assert ours[0]["local_port"] == theirs[0]["peer_port"]
    assert {event["function_name"] for event in events} == {"SSL_do_handshake"}
    assert all("libssl" in event["library"] for event in events)


def test_tls_asyncio_handshakes_that_take_many_calls_are_one_event_each(pair):
    """WANT_READ keeps what is known; eleven sessions go on at once in one thread."""
    count = 11
    code = """
    import asyncio, ssl, sys
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ECDHE+AESGCM")
    async def one():
        reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]), ssl=context)
        writer.write(b"hello"); await reader.read(100); writer.close()
    async def main():
        await asyncio.gather(*[one() for _ in range(int(sys.argv[2]))])
    asyncio.run(main())
    """
    with Tracer("--no-redact") as tracer, listening(python_server(pair, "127.0.0.1", count)) as (process, port):
        client = run([PYTHON, "-c", textwrap.dedent(code), str(port), str(count)])
        process.wait(DEADLINE_S)
        events = handshakes(tracer, client, process.pid)
    ours = [event for event in events if event["pid"] == client]
    assert len(ours) == len(events) - len(ours) == count
    assert all(event["calls"] > 1 and event["success"] for event in ours)
    # Data goes through memory here: OpenSSL sees no socket.
    assert {shown(event) for event in ours} == {("client", True, None, None, "ECDHE+AESGCM")}


def test_tls_forked_workers_know_what_their_parent_set(pair):
    """Certificate and ciphers were given before the fork; the pointers are the same in all children."""
    with Tracer("--no-redact") as tracer, listening(python_server(pair, "127.0.0.1", 3, fork=True)) as (process, port):
        for _ in range(3):
            run(python_client("127.0.0.1", port, "ECDHE+AESGCM"))
        children = [int(pid) for pid in process.stdout.read().split()]
        events = handshakes(tracer, process.pid, *children)
    assert [event["pid"] for event in events] == children
    assert [shown(event) for event in events] == [("server", True, "127.0.0.1", pair[0], CIPHERS)] * 3


def test_tls_pointers_of_two_processes_do_not_mix(pair):
    """After a fork parent and child set different ciphers for the same context, at the same address."""
    code = """
    import os, socket, ssl, sys
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    child = os.fork()
    if child:
        print(os.getpid(), child, flush=True); os.waitpid(child, 0)
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384" if child else "ECDHE-RSA-AES128-GCM-SHA256")
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])))) as tls:
        tls.send(b"hello"); tls.recv(100)
    if not child:
        os._exit(0)
    """
    with Tracer("--no-redact") as tracer, listening(python_server(pair, "127.0.0.1", 2)) as (_, port):
        command = [PYTHON, "-c", textwrap.dedent(code), str(port)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        parent, child = (int(pid) for pid in told.stdout.split())
        events = handshakes(tracer, parent, child)
    assert {event["pid"]: event["cipher_list"] for event in events} == {
        parent: "ECDHE-RSA-AES256-GCM-SHA384",
        child: "ECDHE-RSA-AES128-GCM-SHA256",
    }
    assert len(events) == 2


def test_tls_refused_certificate_is_a_failure(pair, tmp_path):
    """The client does not know who signed it."""
    other = tmp_path / "other.pem"
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", other)
    with Tracer("--no-redact") as tracer, listening(python_server(pair, "127.0.0.1", 1)) as (process, port):
        client = run(python_client("127.0.0.1", port, "ECDHE+AESGCM", str(other)), code=1)
        process.wait(DEADLINE_S)
        events = handshakes(tracer, client)
    assert [(event["role"], event["success"], event["result"]) for event in events] == [("client", False, -1)]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_tls_openssl_commands_whose_handshake_is_done_by_reads_and_writes(pair, host):
    """s_client and s_server call neither SSL_connect() nor SSL_do_handshake() themselves."""
    openssl, address = require_tool("openssl"), host.strip("[]")
    port = free_port(address)
    command = [openssl, "s_server", "-accept", f"{host}:{port}", "-cert", pair[0], "-key", pair[1], "-cipher", CIPHERS,
               "-naccept", "2"]  # fmt: skip
    with Tracer("--no-redact") as tracer, server(command, "ACCEPT") as process:
        clients = [
            run([openssl, "s_client", "-connect", f"{host}:{port}", version, "-cipher", CIPHERS], "Q\n")
            for version in ("-tls1_2", "-tls1_3")
        ]
        process.wait(DEADLINE_S)
        events = handshakes(tracer, process.pid, *clients)
    expected = [("client", True, address, None, CIPHERS), ("server", True, address, None, CIPHERS)] * 2
    assert sorted(map(str, map(shown, events))) == sorted(map(str, expected))


def test_tls_curl_peer_is_known_although_it_gives_no_socket(pair):
    """Libcurl reads and writes by itself."""
    curl = require_tool("curl")
    with Tracer("--no-redact") as tracer, listening(python_server(pair, "127.0.0.1", 1)) as (process, port):
        client = run([curl, "-sk", "--http0.9", "--ciphers", CIPHERS, f"https://127.0.0.1:{port}/"], code=None)
        process.wait(DEADLINE_S)
        events = handshakes(tracer, client)
    assert [shown(event) for event in events] == [("client", True, "127.0.0.1", None, CIPHERS)]
    assert events[0]["peer_port"] == port


def test_tls_node_library_within_the_executable(pair):
    """Both ends in one process; there is no libssl."""
    node = require_tool("node")
    code = f"""
    const tls = require('tls'), fs = require('fs');
    const server = tls.createServer({{key: fs.readFileSync({pair[1]!r}), cert: fs.readFileSync({pair[0]!r}),
      ciphers: {CIPHERS!r}}}, socket => socket.end('bye'));
    server.listen(0, '::1', () => {{
      const client = tls.connect({{port: server.address().port, host: '::1', rejectUnauthorized: false}});
      client.on('data', () => {{}}); client.on('end', () => {{ client.end(); server.close(); }});
    }});
    """
    with Tracer("--no-redact") as tracer:
        events = handshakes(tracer, run([node, "-e", textwrap.dedent(code)]))
    assert sorted((event["role"], event["success"]) for event in events) == [("client", True), ("server", True)]
    assert {os.path.realpath(event["library"]) for event in events} == {os.path.realpath(node)}


def test_tls_gnutls_programs(pair):
    """Another library, by rows of the same table."""
    cli, serv = require_tool("gnutls-cli"), require_tool("gnutls-serv")
    port = free_port()
    command = [serv, "-p", str(port), "--x509certfile", pair[0], "--x509keyfile", pair[1], "--echo",
               "--priority", "NORMAL:-VERS-TLS1.3"]  # fmt: skip
    with Tracer("--no-redact") as tracer, server(command, "listening on IPv4") as process:
        good = run([cli, "--insecure", "-p", str(port), "127.0.0.1", "--priority", "NORMAL"], code=None)
        bad = run([cli, "--insecure", "-p", str(port), "127.0.0.1", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"],
                  code=None)  # fmt: skip
        assert tracer.stop() == 130
        events = by_library(tracer.events(good, bad, process.pid))
    of = {pid: [shown(event) for event in events if event["pid"] == pid] for pid in (good, bad, process.pid)}
    assert of[good] == [("client", True, "127.0.0.1", None, "NORMAL")]
    assert of[bad] == [("client", False, "127.0.0.1", None, "NORMAL:-VERS-ALL:+VERS-TLS1.3")]
    assert [each[:3] for each in of[process.pid]] == [("server", True, "127.0.0.1"), ("server", False, "127.0.0.1")]
    assert {each[3] for each in of[process.pid]} == {pair[0]}


def test_api_calls_show_functions_arguments_and_callers(pair):
    """What a program tells the library, in order."""
    code = f"""
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({pair[0]!r}, {pair[1]!r})
    context.set_ciphers({CIPHERS!r})
    """
    with Tracer("--no-redact") as tracer:
        pid = run([PYTHON, "-c", textwrap.dedent(code)])
        assert tracer.stop() == 130
        calls = of_kind(tracer.events(pid), "api_call")
    told = [(event["function_name"], event["argument"]) for event in calls if not event["internal"]]
    assert [each for each in told if each[1] in {pair[0], pair[1], CIPHERS}] == [
        ("SSL_CTX_use_certificate_chain_file", pair[0]),
        ("SSL_CTX_use_PrivateKey_file", pair[1]),
        ("SSL_CTX_set_cipher_list", CIPHERS),
    ]
    assert "SSL_CTX_new" in {name for name, _ in told}
