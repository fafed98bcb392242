# SPDX-License-Identifier: MIT
"""Show that memory stays flat: the tracer with all probes, under a load of many kinds, for long.

    python -m bench.soak [--minutes N] [--rate N]

Needs root. One process opens missing certificates at the rate; another starts programs all the time that load
libraries, open files, connect to a TLS server, and end. All are in a control group of the bench's own, and nothing
else is watched. What is printed each 30 seconds is the resident size, its peak, and the share of one CPU.
The end says how many events were written and lost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.cost import LOAD, READY, ROOT, cpu_s
from bench.measure import DEADLINE_S, peak_rss
from bench.table import print_row
from bench.wire import Ends, own_cgroup

EVERY_S = 30.0

# Programs, each new; until standard input ends.
PROGRAMS = """
import select, subprocess, sys
address = sys.argv[1]
while not select.select([0], [], [], 0.2)[0]:
    subprocess.run([sys.executable, "-I", "-c", "import ssl; ssl.create_default_context()"])
    subprocess.run(["cat", "/etc/ssl/openssl.cnf"], stdout=subprocess.DEVNULL)
    subprocess.run(["openssl", "s_client", address], stdin=subprocess.DEVNULL, capture_output=True)
"""


def resident(pid: int) -> int:
    """Resident size of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="how long (default %(default)s)")
    parser.add_argument("--rate", type=int, default=5000, metavar="N", help="opens a second (default %(default)s)")
    options = parser.parse_args()
    print_row("", "resident, MB", "peak, MB", "of one CPU")
    with tempfile.TemporaryDirectory() as folder, own_cgroup() as cgroup:
        server = Ends(folder)
        ours = [sys.executable, "-m", "tracer", "monitor", "-o", "/dev/null", "--cgroup", str(cgroup)]
        load = [sys.executable, "-I", "-c", LOAD, f"{folder}/%d.pem", str(options.rate), str(options.minutes * 60)]
        programs_of = [sys.executable, "-I", "-c", PROGRAMS, ":".join(map(str, server.address))]
        with (
            subprocess.Popen(ours, stderr=subprocess.PIPE, text=True, cwd=ROOT) as tracer,
            subprocess.Popen(programs_of, stdin=subprocess.PIPE) as programs,
            subprocess.Popen(load, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as opens,
        ):
            assert tracer.stderr is not None
            assert programs.stdin is not None
            assert opens.stdin is not None
            while READY not in tracer.stderr.readline():
                pass
            opens.stdin.close()
            began = time.monotonic()
            ended = False
            while not ended:
                before, used = time.monotonic(), cpu_s(tracer.pid)
                try:
                    opens.wait(EVERY_S)
                    ended = True
                except subprocess.TimeoutExpired:
                    pass
                share = (cpu_s(tracer.pid) - used) / (time.monotonic() - before)
                print_row(
                    f"after {time.monotonic() - began:.0f} s",
                    f"{resident(tracer.pid) / 1e6:.1f}",
                    f"{peak_rss(tracer.pid) / 1e6:.1f}",
                    f"{share:.1%}",
                )
                sys.stdout.flush()
            programs.stdin.close()
            programs.wait()
            server.close()
            tracer.terminate()
            print(tracer.communicate(timeout=DEADLINE_S)[1].strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
