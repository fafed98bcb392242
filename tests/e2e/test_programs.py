"""Real programs that do real cryptography: openssl and curl against a server of our own."""

from __future__ import annotations

import re
import subprocess
import threading

import pytest

from tests.support.gates import require_tool
from tests.support.workloads import DEADLINE_S, Tracer, of_kind, run_for_pid
from tracer.catalog.filetypes import file_type

pytestmark = pytest.mark.kernel


class Server:
    """`openssl s_server` on a free port of this host, with a certificate made for it."""

    def __init__(self, directory):
        openssl = require_tool("openssl")
        self.cert, self.key = directory / "server.pem", directory / "server.key"
        subprocess.run(
            [
                openssl,
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-days",
                "2",
                "-keyout",
                str(self.key),
                "-out",
                str(self.cert),
            ],
            check=True,
            capture_output=True,
        )
        self.process = subprocess.Popen(
            [openssl, "s_server", "-accept", "127.0.0.1:0", "-www", "-cert", str(self.cert), "-key", str(self.key)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.port = self._read_port()
        self._drain = threading.Thread(target=self.process.stdout.read)
        self._drain.start()

    def _read_port(self):
        for line in self.process.stdout:
            found = re.search(r"ACCEPT .*:(\d+)", line)
            if found:
                return int(found.group(1))
        raise AssertionError("s_server ended")

    def close(self):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self._drain.join(DEADLINE_S)
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    yield running
    running.close()


def trace(command):
    """Runs a command under a tracer: its output, and its events."""
    with Tracer("--no-redact") as tracer:
        pid, done = run_for_pid(command)
        assert tracer.stop() == 130
        return done, tracer.events(pid)


def test_openssl_s_client_shows_its_configuration_and_trust(server):
    """What a TLS client reads before it says anything on the wire."""
    connect = ["-connect", f"127.0.0.1:{server.port}", "-CAfile", str(server.cert), "-verify_return_error"]
    done, events = trace(["openssl", "s_client", *connect])
    assert "Verify return code: 0 (ok)" in done.stdout
    files = {event["file"]: event for event in of_kind(events, "file_open")}
    assert files[str(server.cert)]["file_type"] == "certificate"
    assert files[str(server.cert)]["result"] == 0
    assert {event["file_type"] for name, event in files.items() if name.endswith("openssl.cnf")} == {"config"}
    assert {event["process"] for event in events} == {"openssl"}


def test_curl_shows_its_trust_and_a_missing_ca_file(server, tmp_path):
    """Once it works, once the file is not there."""
    curl = require_tool("curl")
    target = ["--resolve", f"localhost:{server.port}:127.0.0.1", f"https://localhost:{server.port}/"]
    done, events = trace([curl, "-sS", "-o", "/dev/null", "--cacert", str(server.cert), *target])
    assert (done.returncode, done.stdout) == (0, "")
    assert (str(server.cert), 0) in {(event["file"], event["result"]) for event in of_kind(events, "file_open")}

    missing = str(tmp_path / "missing.pem")
    done, events = trace([curl, "-sS", "--cacert", missing, *target])
    assert done.returncode == 77  # "problem with the SSL CA cert"
    assert (missing, "ENOENT") in {(event["file"], event["error"]) for event in of_kind(events, "file_open")}
    (ended,) = of_kind(events, "process_exit")
    assert ended["exit_code"] == 77


def test_server_shows_certificate_and_key(tmp_path):
    """A server that is started under the tracer: which key does it use?"""
    with Tracer("--no-redact") as tracer:
        server = Server(tmp_path)
        server.close()
        assert tracer.stop() == 130
        events = of_kind(tracer.events(server.process.pid), "file_open")
    types = {event["file"]: event["file_type"] for event in events if event["result"] == 0}
    assert types[str(server.cert)] == "certificate"
    assert types[str(server.key)] == "private_key"


STRACE_LINE = re.compile(r'(\d+) +open(?:at2?)?\((?:AT_FDCWD, )?"([^"]*)", .* = (-?\d+)(?: (E\w+))?.*')


def test_opens_of_a_program_are_those_that_strace_sees(tmp_path):
    """Another tool, by another mechanism, on the same run: the same files, in the same order, with the same errors."""
    strace, openssl = require_tool("strace"), require_tool("openssl")
    log = tmp_path / "strace.txt"
    command = [openssl, "verify", "-CAfile", str(tmp_path / "missing.pem"), str(tmp_path / "x.crt")]
    with Tracer("--no-redact") as tracer:
        run_for_pid([strace, "-f", "-o", str(log), "-e", "trace=open,openat,openat2", *command])
        assert tracer.stop() == 130
        lines = [found.groups() for found in map(STRACE_LINE.fullmatch, log.read_text().splitlines()) if found]
        pid = int(lines[0][0])
        seen = [(event["file"], event["error"]) for event in of_kind(tracer.events(pid), "file_open")]
    expected = [(path, error) for _, path, _, error in lines if file_type(path)]
    assert len(lines) > len(expected) > 1
    assert seen == expected
