# SPDX-License-Identifier: MIT
"""Measure the live table: CPU time of drawing, events lost, memory over time, at 5,000 events a second.

    python -m bench.live [--seconds S] [--rate N] [--view NAME] [--size 200x50] [--names N] [--soak]

Needs root. The table is on a pty that this program reads, as a terminal does. All times are CPU time of the tracer's
main thread; drawing is what it says itself at its end. With --soak, memory is printed each minute: it has to be flat.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import select
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from bench.cost import LOAD, cpu_s
from bench.measure import DEADLINE_S
from tracer.options import VIEWS

ROOT = Path(__file__).resolve().parent.parent
SAID = re.compile(r"table: (\d+) frames, ([0-9.]+) s of CPU time")
LOST = re.compile(rb" ([0-9,]+) lost ")
END = re.compile(r"(\d+) events in [0-9.]+ s, (\d+) lost")
SOAK_S = 600.0


class Table:
    """A tracer with a terminal that is read.

    Args:
        arguments: after `top`.
    """

    def __init__(self, size: tuple[int, int], *arguments: str) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, bytes([size[1], 0, size[0], 0, 0, 0, 0, 0]))
        environ = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        command = [sys.executable, "-m", "tracer", "top", "-v", *arguments]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, cwd=ROOT, env=environ, text=True
        )
        os.close(theirs)
        self.taken = 0

    def read(self, timeout_s: float) -> bytes:
        """What has been drawn since; nothing if nothing comes within the timeout."""
        if not select.select([self._ours], [], [], timeout_s)[0]:
            return b""
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:
            return b""  # it has ended
        self.taken += len(data)
        return data

    def press(self, key: bytes) -> None:
        """As a user does."""
        os.write(self._ours, key)

    def end(self) -> str:
        """Quit; returns what it said on stderr."""
        with contextlib.suppress(OSError):
            self.press(b"q")
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        said = self.process.communicate(timeout=DEADLINE_S)[1]
        os.close(self._ours)
        return said


def rss(pid: int) -> int:
    """Bytes that it has in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def measure(view: str, size: tuple[int, int], rate: int, seconds: float, *, every_s: float = 0.0) -> list[str]:
    """One run: cells of a row of the table. Prints the memory so often, if asked to.

    Raises:
        RuntimeError: events are missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        load_command = [sys.executable, "-I", "-c", LOAD, f"{folder}/some-%d.pem", str(rate), str(seconds)]
        with subprocess.Popen(load_command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout is not None
            assert load.stdin is not None
            load.stdout.readline()
            table = Table(size, "--pid", str(load.pid), "--view", view)
            while b"Events" not in table.read(1.0):
                if table.process.poll() is not None:
                    raise RuntimeError(table.end())
            before, began = cpu_s(table.process.pid), time.monotonic()
            load.stdin.write("\n")
            load.stdin.flush()
            next_look, memory, lost = began + every_s, 0, b"0"
            while not select.select([load.stdout], [], [], 0)[0]:
                seen = LOST.findall(table.read(0.02))
                if seen and seen[-1] != lost:
                    lost = seen[-1]
                    said_at = (time.monotonic() - began) / 60
                    print(f"  {said_at:5.1f} min: {lost.decode()} lost; load {os.getloadavg()[0]:.1f}", flush=True)
                memory = rss(table.process.pid) or memory
                if every_s and time.monotonic() >= next_look:
                    next_look += every_s
                    minutes = (time.monotonic() - began) / 60
                    print(f"  {minutes:5.1f} min: {memory / 1e6:.1f} MB", flush=True)
            done = int(load.stdout.readline())
            for _ in range(20):
                table.read(0.02)
            used, took_s = cpu_s(table.process.pid) - before, time.monotonic() - began
            said = table.end()
            load.stdin.close()
    drawn, counted = SAID.search(said), END.search(said)
    if not drawn or not counted:
        raise RuntimeError(f"it did not say what it did: {said}")
    frames, drawing_s = int(drawn[1]), float(drawn[2])
    if int(counted[1]) < done or int(counted[2]):
        raise RuntimeError(f"{done} opens, {counted[1]} events, {counted[2]} lost")
    return [
        f"{100 * drawing_s / took_s:.2f} %",
        f"{1e3 * drawing_s / max(frames, 1):.2f}",
        f"{frames / took_s:.1f}",
        f"{100 * used / took_s:.1f} %",
        f"{done:,}",
        counted[2],
        f"{memory / 1e6:.1f}",
        f"{table.taken / took_s / 1e3:.0f}",
    ]


def print_cells(title: str, *cells: str) -> None:
    """One line of the table."""
    print(f"{title:12}" + "".join(f"{cell:>10}" for cell in cells), flush=True)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=5000, metavar="N", help="events a second (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each run (default %(default)s)")
    parser.add_argument("--size", default="200x50", help="of the terminal (default %(default)s)")
    parser.add_argument("--view", choices=VIEWS, help="only this one")
    parser.add_argument("--soak", action="store_true", help=f"{SOAK_S / 60:.0f} minutes, and the memory each minute")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    print(f"the live table at {options.rate:,} events a second, {width} x {height}")
    print_cells("", "drawing", "ms/frame", "frames/s", "all CPU", "events", "lost", "MB", "kB/s")
    for view in [options.view] if options.view else VIEWS:
        if options.soak:
            cells = measure(view, (width, height), options.rate, SOAK_S, every_s=60.0)
        else:
            cells = measure(view, (width, height), options.rate, options.seconds)
        print_cells(view, *cells)
    return 0


if __name__ == "__main__":
    sys.exit(main())
