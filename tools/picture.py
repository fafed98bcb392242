# SPDX-License-Identifier: MIT
"""Draw docs/images/top.svg: the live table of the single file, with events of a real run.

The tracer records for real, and real programs are started under it. The table shows the recording; events of processes
that were not started here are left out. Needs root, openssl and curl.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ZIPAPP = ROOT / "dist" / "crypto-tracer.pyz"
OUTPUT = ROOT / "docs" / "images" / "top.svg"
SIZE = {"COLUMNS": "112", "LINES": "30", "LANG": "C.UTF-8"}

# What runs meanwhile, in a directory with a key that only root may read: a TLS server, which serves one request, its
# client, somebody without privilege who tries to read the key, and a check against a file that is not there.
PORT = "44330"
SERVER = f"openssl s_server -accept {PORT} -naccept 1 -cert server.pem -key server.key -www"
CLIENTS = (
    f"curl --silent --retry 9 --retry-connrefused --cacert server.pem https://localhost:{PORT}/",
    "setpriv --reuid=65534 --regid=65534 --clear-groups cat server.key",
    "openssl verify -CAfile missing.pem server.pem",
)
READY = b"crypto-tracer: ready"
DEADLINE_S = 20.0


def main() -> int:
    """Record, then draw."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        folder = Path(name)
        make_key_pair(folder)
        recording = folder / "demo.rec"
        pids = record(folder, recording)
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        only = ",".join(map(str, pids))
        command = [str(ZIPAPP), "top", "--replay", str(recording), "--pid", only, "--export-svg", str(OUTPUT)]
        environ = {**os.environ, **SIZE}
        subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    OUTPUT.chmod(0o644)
    print(OUTPUT)
    return 0


def make_key_pair(folder: Path) -> None:
    """A certificate for everybody and its key for the owner."""
    folder.chmod(0o755)
    command = "openssl req -x509 -newkey ed25519 -nodes -subj /CN=localhost -keyout server.key -out server.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    (folder / "server.key").chmod(0o600)


def record(folder: Path, recording: Path) -> list[int]:
    """Record the workloads; returns their pids."""
    command = [str(ZIPAPP), "monitor", "--record", str(recording)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        wait_until_ready(tracer.stderr.fileno())
        processes = [start(each, folder) for each in (SERVER, CLIENTS[0])]
        for process in processes:
            process.wait(DEADLINE_S)
        for each in CLIENTS[1:]:
            processes.append(start(each, folder))
            processes[-1].wait(DEADLINE_S)
        tracer.send_signal(signal.SIGINT)  # what is in the ring buffer still comes
        tracer.communicate(timeout=DEADLINE_S)
    return [process.pid for process in processes]


def wait_until_ready(stderr: int) -> None:
    """Until all probes are attached."""
    said = b""
    deadline = time.monotonic() + DEADLINE_S
    while READY not in said:
        if not select.select([stderr], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"not ready within {DEADLINE_S} s: {said.decode()}")
        data = os.read(stderr, 4096)
        if not data:
            raise RuntimeError(f"the tracer ended: {said.decode()}")
        said += data


def start(command: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start one of the programs that are watched."""
    return subprocess.Popen(
        command.split(), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


if __name__ == "__main__":
    sys.exit(main())
