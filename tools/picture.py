# SPDX-License-Identifier: MIT
"""Draw docs/images/monitor.svg: a terminal with a real run of the single file.

The tracer runs for real, and real programs are started under it. Shown is what jq makes of its output, in
jq's own colours; events of processes that were not started here are left out. Needs root and jq.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
ZIPAPP = ROOT / "dist" / "crypto-tracer.pyz"
OUTPUT = ROOT / "docs" / "images" / "monitor.svg"

FILTER = "select(.file) | {process, file, file_type, error}"
COMMAND = f"sudo ./crypto-tracer.pyz monitor | jq -c '{FILTER}'"
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

# rich's own template takes its font from the network; a picture in a repository should not.
SVG_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
    font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    """Run, draw, write."""
    with tempfile.TemporaryDirectory() as folder:
        make_key_pair(Path(folder))
        events = trace(Path(folder))
    if not events:
        print("picture: no event of the programs that were started", file=sys.stderr)
        return 1
    lines = "".join(json.dumps(event) + "\n" for event in events)
    coloured = subprocess.run(
        ["jq", "--color-output", "--compact-output", FILTER],
        input=lines,
        env={**os.environ, "JQ_COLORS": "0;37"},  # null in grey: jq 1.6 has it in black
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    console = Console(record=True, width=112, file=io.StringIO())
    console.print(Text.assemble(("$ ", "bold green"), (COMMAND, "bold")))
    for line in coloured.splitlines():
        console.print(Text.from_ansi(line))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(OUTPUT), title="crypto-tracer", theme=MONOKAI, code_format=SVG_FORMAT, unique_id="monitor")
    print(OUTPUT)
    return 0


def make_key_pair(folder: Path) -> None:
    """A certificate for everybody and its key for the owner."""
    folder.chmod(0o755)
    command = "openssl req -x509 -newkey ed25519 -nodes -subj /CN=localhost -keyout server.key -out server.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    (folder / "server.key").chmod(0o600)


def trace(folder: Path) -> list[dict[str, object]]:
    """The events of the workloads, as the tracer wrote them."""
    with subprocess.Popen([str(ZIPAPP), "monitor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        wait_until_ready(tracer.stderr.fileno())
        processes = [start(command, folder) for command in (SERVER, CLIENTS[0])]
        for process in processes:
            process.wait(DEADLINE_S)
        for command in CLIENTS[1:]:
            processes.append(start(command, folder))
            processes[-1].wait(DEADLINE_S)
        tracer.send_signal(signal.SIGINT)  # what is in the ring buffer still comes
        output, _ = tracer.communicate(timeout=DEADLINE_S)
    events = [json.loads(line) for line in output.splitlines()]
    pids = {process.pid for process in processes}
    return [event for event in events if event["pid"] in pids]


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
