# SPDX-License-Identifier: MIT
"""Measure how fast a recording is shown: as JSON lines, and when a filter drops every event.

    python -m bench.replay [--events N] [--runs N]

Needs no privilege. Three recordings are made, of opens by 50 processes: each of the same 20 files again and again, as
programs do; of 1,009 files, as `bench.cost` does; and of a new file each time, as nobody does. What is measured is
CPU time, from the file to the file; starting Python is left out. Best and median of the runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pybpfload
from bench.table import print_row
from tracer import objects
from tracer.clock import BootClock
from tracer.decode import Decoder
from tracer.log import Log
from tracer.options import OPTIONS
from tracer.pipeline import Stages, build_known
from tracer.pipeline.classify import classify
from tracer.pipeline.select import Selection
from tracer.replay import Player, play
from tracer.sinks.jsonl import JsonLines
from tracer.sinks.output import open_output
from tracer.sinks.recording import Nothing, Recording

PROCESSES = 50
KINDS = {"20 files": 20, "1,009 files": 1009, "all new files": 0}


class Opens:
    """Makes records of opens, as the kernel sends them."""

    def __init__(self) -> None:
        spec = pybpfload.read_object(objects.read("file_open_trace"), name="file_open_trace")
        assert spec.btf is not None
        clock = BootClock()
        self.offset_ns = clock.offset_ns
        self.decoder = Decoder(spec.records["events"], spec.btf, clock)
        layout = spec.records["events"].member("file_open")
        whole = layout.pack_value(
            {
                **{field.name: b"" if field.kind == "chars" else 0 for field in layout.fields},
                "kind": spec.btf.enum_values("ct_kind")["CT_FILE_OPEN"],
                "start_time": 5 * 10**11,
                "cgroup": 4242,
                "uid": 33,
                "comm": b"nginx",
                "result": 3,
                "flags": os.O_CLOEXEC,
                "inode": 77,
                "device": 254 << 20,
                "mode": 0o100640,
            }
        )
        self._head = bytearray(whole[: layout.min_size])
        self._pid, self._size = layout["pid"].offset, layout["strings_size"].offset

    def record(self, pid: int, name: str) -> bytes:
        """What is behind the time."""
        strings = f"{name}\0{os.path.basename(name)}\0private\0ssl\0etc\0\0".encode()
        self._head[self._pid : self._pid + 4] = pid.to_bytes(4, sys.byteorder)
        self._head[self._size : self._size + 4] = len(strings).to_bytes(4, sys.byteorder)
        return bytes(self._head[8:]) + strings


def make(path: str, count: int, files: int) -> None:
    """A recording."""
    opens = Opens()
    known: dict[tuple[int, int], Any] = {}
    with Recording(path, Nothing(), redacted=True) as recording:
        recording.describe(opens.decoder)
        for i in range(count):
            file = i % files if files else i
            pid = 1000 + i // 7 % PROCESSES if files <= 20 else 1000
            time_ns = 10**12 + i * 200_000
            if (pid, file) in known:
                recording.again(known[pid, file], time_ns, time_ns + opens.offset_ns)
                continue
            event = opens.decoder.event((time_ns, opens.record(pid, f"/etc/ssl/private/some-{file}.pem")))
            event.fields.update(exe="/usr/sbin/nginx", container=None)
            classify(event)
            recording.write(event)
            if files:
                known[pid, file] = recording.prepare(event)
            if i % 1000 == 0:
                recording.flush()


def show(path: str, pids: tuple[int, ...]) -> tuple[float, int]:
    """Seconds of CPU time to show a recording, and how many events came out."""
    values = {**{name: row.default for name, row in OPTIONS.items()}, "pid": pids, "replay": path}
    selection = Selection(argparse.Namespace(**values))

    def build(private: dict[str, tuple[tuple[str, str], ...]], redacted: bool) -> Stages:
        return build_known(selection.settings._replace(own_pid=0), private, selection, redacted=redacted)

    with open_output(os.path.join(os.path.dirname(path), "lines"), lambda: False) as output, JsonLines(output) as sink:
        began = time.process_time()
        play(Player(build, sink, lambda: False), path, Log())
        took_s = time.process_time() - began
        written = sink.written
    os.unlink(os.path.join(os.path.dirname(path), "lines"))
    return took_s, written


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=300_000, metavar="N", help="of a recording (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each (default %(default)s)")
    options = parser.parse_args()
    print(f"{options.events:,} opens, {options.runs} runs of each; best / median, of CPU time")
    print_row("", "events/s to JSON lines", "us a dropped event", "bytes an event")
    with tempfile.TemporaryDirectory() as folder:
        paths = {title: f"{folder}/{number}.rec" for number, title in enumerate(KINDS)}
        shown: dict[str, list[float]] = {title: [] for title in KINDS}
        dropped: dict[str, list[float]] = {title: [] for title in KINDS}
        for title, path in paths.items():
            make(path, options.events, KINDS[title])
        for _ in range(options.runs):
            for title, path in paths.items():
                for times, pids, expected in ((shown, (), options.events), (dropped, (1,), 0)):
                    took_s, written = show(path, pids)
                    if written != expected:
                        raise RuntimeError(f"{written} events came out, expected {expected}")
                    times[title].append(took_s / options.events)
        for title, path in paths.items():
            print_row(
                title,
                f"{1 / min(shown[title]):,.0f} / {1 / statistics.median(shown[title]):,.0f}",
                f"{min(dropped[title]) * 1e6:.2f} / {statistics.median(dropped[title]) * 1e6:.2f}",
                f"{Path(path).stat().st_size / options.events:.1f}",
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
