"""What a tracer tells of itself, as text."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.gates import require_tool
from tests.unit.tracer import events
from tracer.accounting import KindStats, Stats
from tracer.loaded import ProbeState
from tracer.metrics import MAX_HANDSHAKES, Metrics

STATS = Stats(processed=3, dropped=2, undecodable=1, unread=4, by_kind={"file_open": KindStats(9, 2, 4)})


def made(stats=STATS, unwritten=0):
    return Metrics("1.2", lambda: stats, lambda: unwritten)


def state(name, *, on=True):
    return ProbeState(name, on, {}, "", "", ())


def samples(metrics):
    """Name with labels -> value."""
    lines = metrics.text(open_metrics=True).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_losses_are_told_by_stage():
    """Where something was lost says what to do about it."""
    found = samples(made(unwritten=7))
    stages = {key.split('"')[1]: value for key, value in found.items() if key.startswith("crypto_tracer_lost_total")}
    assert stages == {"ring": 2, "decode": 1, "name": 4, "skipped_call": 0, "tree": 0, "output": 7}
    assert found['crypto_tracer_records_total{kind="file_open"}'] == 9


def test_events_are_counted_by_kind_from_zero():
    """A series that is there from the beginning is one whose rate is known from the beginning."""
    metrics = made()
    assert samples(metrics)['crypto_tracer_events_total{kind="file_open"}'] == 0
    metrics.count(events.file_open())
    assert samples(metrics)['crypto_tracer_events_total{kind="file_open"}'] == 1


def test_handshakes_that_somebody_makes_up_do_not_fill_the_memory():
    """Suites come from the network: beyond a number of combinations they are all the same, and none is lost."""
    metrics = made()
    for number in range(MAX_HANDSHAKES + 50):
        metrics.count(events.tls_handshake(source="wire", version="TLS 1.3", suite=f"suite {number}", group="X25519"))
    found = {k: v for k, v in samples(metrics).items() if k.startswith("crypto_tracer_handshakes_total")}
    assert len(found) == MAX_HANDSHAKES + 1
    assert sum(found.values()) == MAX_HANDSHAKES + 50


@pytest.mark.parametrize("value", ['a"b\n', "x" * 65, "\x1b[31m", "ü", 7])
def test_labels_are_short_and_printable(value):
    """A label that breaks the line would break all others."""
    metrics = made()
    metrics.count(events.tls_handshake(source="wire", version="TLS 1.3", suite=value, group=None))
    line = next(s for s in samples(metrics) if s.startswith("crypto_tracer_handshakes_total"))
    assert line.isascii()
    assert line.isprintable()
    assert 'group="unknown"' in line


def test_not_ready_before_a_probe_is_on_and_after_they_are_off():
    """Readiness is that of the probes."""
    metrics = made()
    assert metrics.ready() == (False, "not ready: 0 of 0 probes")
    metrics.attached([state("a"), state("b", on=False)])
    assert metrics.ready() == (True, "ready: 1 of 2 probes")
    metrics.ended()
    assert not metrics.ready()[0]


def test_not_live_when_the_loop_stands_still(monkeypatch):
    """A loop that hangs is told by its age."""
    metrics = made()
    metrics.beat()
    assert metrics.live() == (True, "live")
    monkeypatch.setattr("tracer.metrics.STALLED_S", 0.0)
    assert not metrics.live()[0]


def test_promtool_likes_the_text():
    """Prometheus' own check."""
    metrics = made()
    metrics.attached([state("a")])
    metrics.count(events.tls_handshake(source="wire", version="TLS 1.3", suite='\\"', group="X25519"))
    promtool = require_tool("promtool")
    text = metrics.text(open_metrics=False)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
