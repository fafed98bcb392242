"""What people run it for, as the C tool's pages have it: whole command lines in a shell, with jq behind them.

The services are real ones, and so are their failures.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.support.gates import require_tool
from tests.support.schemas import check_document
from tests.support.sources import ROOT
from tests.support.workloads import DEADLINE_S, Workload, opens, parse_lines, wait_until

pytestmark = pytest.mark.kernel

NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
# A server of TLS as it is deployed: it reads its certificate and key, and says that it is up.
SERVICE = """
import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serving", server.server_port)
"""
# Any Python that nobody may run, too.
PYTHON = "/usr/bin/python3"


@pytest.fixture
def folder():
    """One that everybody may read: those of pytest are for root alone."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def shell(folder):
    """Runs a script in which `crypto-tracer` is a command, as after an installation."""
    binaries = folder / "bin"
    binaries.mkdir()
    program = binaries / "crypto-tracer"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tracer "$@"\n')
    program.chmod(0o755)
    require_tool("jq")

    def run(script, code=0):
        done = subprocess.run(
            ["bash", "-c", textwrap.dedent(script)],
            env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


@pytest.fixture
def service(folder):
    """A folder with a certificate, its key, and the program."""
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-nodes", "-newkey", "ec",
         "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost",
         "-keyout", "server.key", "-out", "server.pem"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    (folder / "server.key").chmod(0o600)
    (folder / "service.py").write_text(SERVICE)
    return folder


FAILURES = """jq -c '.files_accessed[] | select(.failed_count > 0) | [.path, .type, .errors]' p.json"""


def test_service_whose_key_is_missing_is_diagnosed(shell, service):
    """It only says that it failed; the document says which file, and why."""
    text = shell(f"""
        crypto-tracer run -q --no-redact -o p.json -- {PYTHON} service.py server.pem missing.key
        [ $? = 1 ] || exit 9
        {FAILURES}
    """)
    assert [str(service / "missing.key"), "private_key", ["ENOENT"]] in map(json.loads, text.splitlines())
    check_document("profile", json.loads((service / "p.json").read_text()))


def test_service_that_may_not_read_its_key_is_diagnosed(shell, service):
    """The same with EACCES: the certificate is fine, and the key belongs to root."""
    text = shell(f"""
        crypto-tracer run -q --no-redact -o p.json -- {NOBODY} {PYTHON} service.py server.pem server.key
        [ $? = 1 ] || exit 9
        {FAILURES}
        jq -c '.files_accessed[] | select(.path | endswith("server.pem")) | .failed_count' p.json
        jq -c '[.processes[] | select(.exit_code == 1) | .uid]' p.json
    """)
    rows = [json.loads(line) for line in text.splitlines()]
    assert [str(service / "server.key"), "private_key", ["EACCES"]] in rows
    assert rows[-2:] == [0, [65534]]


def test_service_that_works_has_no_failures(shell, service):
    """Or the two above would prove nothing."""
    text = shell(f"""
        crypto-tracer run -q --no-redact -o p.json -- {PYTHON} service.py server.pem server.key >/dev/null || exit 9
        jq -c '.files_accessed[] | select(.path | endswith(".key")) | [.path, .errors]' p.json
    """)
    assert json.loads(text) == [str(service / "server.key"), []]


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx, which would start a service where it is installed")
def test_nginx_whose_key_is_missing_is_diagnosed(shell, service):
    """The one that everybody has met."""
    (service / "nginx.conf").write_text(
        f"pid {service}/pid; error_log stderr; events {{}} http {{ access_log off; server {{ listen 127.0.0.1:1 ssl;"
        f" ssl_certificate {service}/server.pem; ssl_certificate_key {service}/gone.key; }} }}"
    )
    text = shell(f"""
        crypto-tracer run -q --no-redact -o p.json -- nginx -t -c $PWD/nginx.conf -p $PWD
        [ $? = 1 ] || exit 9
        {FAILURES}
    """)
    assert [str(service / "gone.key"), "private_key", ["ENOENT"]] in map(json.loads, text.splitlines())


def test_running_service_is_diagnosed_live_through_jq(shell, service):
    """As in the README: events of one process, filtered by their errno."""
    with opens(str(service / "late.key"), 3) as workload, opens(str(service / "server.pem"), 2) as other:
        (service / "go").write_text("")
        os.mkfifo(service / "ready")
        text = ""
        process = subprocess.Popen(["bash", "-c", "read line < ready"], cwd=service)
        try:
            tracer = subprocess.Popen(
                ["bash", "-c", f"""
                    {sys.executable} -m tracer files -p {workload.pid},{other.pid} --no-redact 2> >(
                        while read -r line; do case $line in *ready*) echo > {service}/ready;; esac; done) |
                    jq --unbuffered -r 'select(.result == 2) | "\\(.process) \\(.file): \\(.error)"'
                """], cwd=ROOT, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            process.wait(DEADLINE_S)
            workload.go()
            other.go()
            text, _ = tracer.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
            process.wait()
    lines = text.splitlines()
    assert len(lines) == 3
    assert set(lines) == {f"{lines[0].split()[0]} {service}/late.key: ENOENT"}


def test_inventory_of_libraries_and_who_uses_them(shell, folder):
    """A row for each library with its version, and the processes that have it: no BPF needed."""
    with Workload("import _hashlib\nprint('up', flush=True)\nsys.stdin.readline()") as workload:
        workload.start()
        assert workload._process.stdout.readline() == "up\n"
        text = shell(f"""
            crypto-tracer snapshot -q -p {workload.pid} -o host.json
            jq -r '.libraries[] | [.name, .family, .version, .path] | @csv' host.json
            echo --
            jq -r '.processes[] | select(any(.libraries[]; contains("libcrypto"))) | .pid' host.json
        """)
    rows, _, pids = text.partition("--\n")
    found = {row[0]: row for row in csv.reader(io.StringIO(rows))}
    assert found["libcrypto"][1] == "OpenSSL"
    assert found["libcrypto"][2][0].isdigit()
    assert os.path.exists(found["libcrypto"][3])
    assert pids.split() == [str(workload.pid)]
    check_document("snapshot", json.loads((folder / "host.json").read_text()))


@pytest.mark.parametrize(("forbidden", "code"), [("GnuTLS", 0), ("OpenSSL", 1)])
def test_ci_check_passes_or_fails_by_policy(shell, forbidden, code):
    """`jq -e` makes the verdict; the job's own status is kept apart."""
    shell(
        f"""
        set -e
        crypto-tracer run -q -o p.json -- openssl version >/dev/null
        jq -e '[.libraries[] | select(.family == "{forbidden}")] == []' p.json >/dev/null
        """,
        code=code,
    )


def test_ci_check_keeps_the_status_of_the_job(shell):
    """A job that fails fails, traced or not; and a document that lacks events is no proof."""
    text = shell("""
        crypto-tracer run -q -o p.json -- sh -c 'openssl version >/dev/null; exit 3'
        echo $?
        jq .statistics.lost p.json
    """)
    assert text.split() == ["3", "0"]


def test_audit_trail_of_private_keys(shell, service):
    """Who opened which key, when and with what result: appended, rotated with SIGHUP, whole."""
    key, log = service / "server.key", service / "audit.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "tracer", "files", "-F", str(key), "--no-redact", "-o", str(log)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while "ready (" not in process.stderr.readline():
            pass
        subprocess.run(["cat", str(key)], stdout=subprocess.DEVNULL, check=True)
        subprocess.run([*NOBODY.split(), "cat", str(key)], stderr=subprocess.DEVNULL, check=False)
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 2, "two lines")
        log.rename(service / "audit.1")
        process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "a new file")
        subprocess.run(["head", "-1", str(key)], stdout=subprocess.DEVNULL, check=True)
        wait_until(lambda: log.read_text().count("\n") == 1, "the third line")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 143
    finally:
        process.kill()
        process.communicate()
    assert len(parse_lines((service / "audit.1").read_bytes() + log.read_bytes())) == 3
    assert log.stat().st_mode & 0o777 == 0o600
    text = shell("""
        cat audit.1 audit.jsonl |
            jq -r 'select(.file_type == "private_key") | [.uid, .process, .error // "opened"] | @tsv'
        cat audit.1 audit.jsonl | jq -r .timestamp | sort -c && echo in order
    """)
    assert text.splitlines() == ["0\tcat\topened", "65534\tcat\tEACCES", "0\thead\topened", "in order"]
