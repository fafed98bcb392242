"""Metrics as a real Prometheus takes them."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.support.gates import require_tool
from tests.support.ports import free_port
from tests.support.workloads import Tracer, Workload, wait_until

pytestmark = pytest.mark.kernel

CONFIGURATION = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: tracer
    static_configs: [{{targets: ["{target}"]}}]
"""


# Opens a missing file three times, and then waits: the tracer ends with the process.
OPENS = """
for _ in range(3):
    try:
        os.open(sys.argv[1], os.O_RDONLY)
    except OSError:
        pass
sys.stdin.readline()
"""


def ask(port, query):
    """The value of a query, or None as long as there is none."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            rows = json.load(answer)["data"]["result"]
    except (OSError, urllib.error.URLError):
        return None
    return float(rows[0]["value"][1]) if rows else None


def test_prometheus_scrapes_what_the_tracer_counts(tmp_path):
    """Up, with the number of events that came out, and nothing lost."""
    prometheus = require_tool("prometheus")
    port = free_port()
    with (
        Workload(OPENS, str(tmp_path / "a.key")) as workload,
        Tracer("-p", str(workload.pid), "--metrics", "127.0.0.1:0") as tracer,
    ):
        line = wait_until(lambda: [each for each in tracer.stderr if " http://" in each], "the address")[0]
        (target,) = re.findall(r"http://(\S+)", line)
        configuration = tmp_path / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(target=target))
        words = [f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path}/data"]
        workload.start()
        server = subprocess.Popen(
            [prometheus, *words, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: ask(port, 'crypto_tracer_events_total{kind="file_open"}') == 3, "three opens")
            assert ask(port, 'up{job="tracer"}') == 1
            assert ask(port, "sum(crypto_tracer_lost_total)") == 0
            assert ask(port, 'crypto_tracer_probe_up{probe="file_open"}') == 1
        finally:
            server.terminate()
            server.wait(30)
        workload.go()
        assert tracer.wait() == 0
