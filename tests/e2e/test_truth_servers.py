"""Servers that are real: what strace and they themselves say is what comes out, of all their processes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from glob import glob
from pathlib import Path

import pytest

from tests.support.gates import require_tool, skip_or_fail
from tests.support.ports import free_port
from tests.support.truth import compare, watch
from tests.support.workloads import DEADLINE_S, library_handshakes, of_kind

pytestmark = pytest.mark.kernel

NGINX = """
user root; worker_processes 2; pid nginx.pid; error_log error.log; daemon off;
events {{ }}
http {{
  log_format told '$remote_port $ssl_protocol $request_completion'; access_log access.log told;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_ciphers ECDHE+AESGCM; root {folder};
  }}
}}
"""
SERVE_NGINX = """
{nginx} -p {folder} -c {folder}/nginx.conf &
until [ -s {folder}/nginx.pid ]; do :; done
until curl -s --cacert {folder}/server.pem --resolve localhost:{port}:127.0.0.1 https://localhost:{port}/index.html
do :; done
curl -s https://127.0.0.1:{port}/
kill -QUIT $!
wait $!
"""
SERVE_POSTGRES = """
{bin}/postgres -D {folder}/data -p {port} -k {folder} -c listen_addresses=127.0.0.1 -c ssl=on \
 -c ssl_cert_file={folder}/server.pem -c ssl_key_file={folder}/server.key -c autovacuum=off >{folder}/log 2>&1 &
until [ -S {folder}/.s.PGSQL.{port} ]; do :; done
until {bin}/psql -At "host=127.0.0.1 port={port} dbname=postgres sslmode=verify-ca sslrootcert={folder}/server.pem" \
 -c "select pid, client_port, ssl from pg_stat_ssl join pg_stat_activity using (pid) where pid = pg_backend_pid()" \
 >{folder}/told
do kill -0 $! || exit 1; done
kill -INT $!
wait $!
"""


@pytest.fixture
def folder():
    """A folder that others can enter, with a key pair."""
    path = Path(tempfile.mkdtemp(prefix="truth-"))
    path.chmod(0o755)
    command = [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-keyout", str(path / "server.key"), "-out", str(path / "server.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    yield path
    shutil.rmtree(path)


def shown(event):
    return event["role"], event["success"], event["peer_address"], event["certificate"]


def test_nginx_does_what_strace_and_its_log_say(folder):
    """Master, workers and clients; one who trusts it, one who does not."""
    port = free_port()
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin") or skip_or_fail("no nginx")
    require_tool("curl")
    (folder / "nginx.conf").write_text(NGINX.format(port=port, folder=folder))
    (folder / "index.html").write_text("hello")
    script = SERVE_NGINX.format(nginx=nginx, port=port, folder=folder)
    truth, events = watch(folder, ["sh", "-c", script])
    compare(truth, events)
    told = [line.split() for line in (folder / "access.log").read_text().splitlines()]
    handshakes = library_handshakes(events)
    served = [event for event in handshakes if event["process"] == "nginx" and event["success"]]
    # nginx reads the file itself, and gives the library what was in it: the open shows which one it is.
    assert [(str(event["peer_port"]), shown(event)) for event in served if str(event["peer_port"]) == told[0][0]] == [
        (told[0][0], ("server", True, "127.0.0.1", None))
    ]
    assert {event["cipher_list"] for event in served} == {"ECDHE+AESGCM"}
    clients = [event for event in handshakes if event["process"] == "curl"]
    assert [shown(event) for event in clients] == [
        ("client", True, "127.0.0.1", None), ("client", False, "127.0.0.1", None),
    ]  # fmt: skip
    assert clients[0]["local_port"] == int(told[0][0])
    keys = {event["file_path"]: event["file_type"] for event in of_kind(events, "file_open") if not event["result"]}
    assert keys[f"{folder}/server.key"] == "private_key"


def test_postgresql_does_what_strace_and_its_tables_say(folder):
    """The connection's own process has the handshake, with what its parent has set before the fork."""
    port = free_port()
    found = sorted(glob("/usr/lib/postgresql/*/bin")) or skip_or_fail("no PostgreSQL")
    who = pwd.getpwnam("postgres")
    os.chown(folder, who.pw_uid, who.pw_gid)
    for name in ("server.key", "server.pem"):
        os.chown(folder / name, who.pw_uid, who.pw_gid)
    as_postgres = [require_tool("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initdb = [*as_postgres, f"{found[-1]}/initdb", "-D", str(folder / "data"), "--auth=trust", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=2 * DEADLINE_S, cwd=folder)
    script = SERVE_POSTGRES.format(bin=found[-1], port=port, folder=folder)
    environment = {**os.environ, "HOME": str(folder)}
    truth, events = watch(folder, [*as_postgres, "sh", "-c", script], cwd=folder, env=environment)
    compare(truth, events)
    pid, client_port, ssl = (folder / "told").read_text().strip().split("|")
    assert ssl == "t"
    served = [event for event in library_handshakes(events) if event["process"] == "postgres"]
    # A client that comes too early is sent away, after the handshake.
    assert (int(pid), int(client_port)) == (served[-1]["pid"], served[-1]["peer_port"])
    assert {shown(event) for event in served} == {("server", True, "127.0.0.1", f"{folder}/server.pem")}
    clients = [event for event in library_handshakes(events) if event["process"] == "psql"]
    assert {shown(event) for event in clients} == {("client", True, "127.0.0.1", None)}
    assert [event["local_port"] for event in clients] == [event["peer_port"] for event in served]
    keys = {event["file_path"] for event in of_kind(events, "file_open") if event["file_type"] == "private_key"}
    assert keys == {f"{folder}/server.key"}
