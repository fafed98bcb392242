# SPDX-License-Identifier: MIT
"""What a tracer tells of itself: numbers in the text formats of Prometheus and OpenMetrics.

There is no more of it after a year than after a minute: each label has values from a table of ours, except those of
handshakes, of which only the first `MAX_HANDSHAKES` combinations are kept apart.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tracer.model import KINDS
from tracer.sinks import repeater

if TYPE_CHECKING:
    from types import TracebackType

    from tracer.accounting import Stats
    from tracer.loaded import ProbeState
    from tracer.model import Event
    from tracer.sinks import Sink

MAX_HANDSHAKES = 200
MAX_LABEL = 64
UNKNOWN, OTHER = "unknown", "other"

# Without a turn of the loop for so long, it hangs: most turns take milliseconds.
STALLED_S = 30.0

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

HANDSHAKE = "tls_handshake"
HANDSHAKE_LABELS = ("version", "suite", "group")

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Family(NamedTuple):
    """One metric.

    Attributes:
        type: ``counter``, ``gauge`` or ``info``.
        samples: labels and value.
    """

    name: str
    type: str
    help: str
    samples: list[tuple[Mapping[str, str], float]]


class Metrics:
    """What is counted, and how the tracer is doing. One thread writes, others read.

    Args:
        version: of this program.
        stats: gives what has happened to events as far as that was looked at last; it asks nobody.
        unwritten: how many events the output did not take.
    """

    def __init__(self, version: str, stats: Callable[[], Stats], unwritten: Callable[[], int]) -> None:
        host = os.uname()
        self._build = {"version": version, "kernel": host.release, "machine": host.machine}
        self._stats = stats
        self._unwritten = unwritten
        self._events = dict.fromkeys((kind.name for kind in KINDS if not kind.hidden), 0)
        self._handshakes: Counter[tuple[str, ...]] = Counter()
        self._states: list[ProbeState] = []
        self._beat = time.monotonic()
        self._ready = False
        self._started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + _start_time()

    # What the loop tells.

    def attached(self, states: list[ProbeState]) -> None:
        """All that can be attached is."""
        self._states = states
        self._ready = any(state.on for state in states)

    def beat(self) -> None:
        """The loop has gone round."""
        self._beat = time.monotonic()

    def ended(self) -> None:
        """The probes are off."""
        self._ready = False

    def count(self, event: Event) -> None:
        """An event came out."""
        name = event.kind.name
        self._events[name] = self._events.get(name, 0) + 1
        if name == HANDSHAKE and event.fields.get("source") != "library":
            key = tuple(_label(event.fields.get(label)) for label in HANDSHAKE_LABELS)
            if key not in self._handshakes and len(self._handshakes) >= MAX_HANDSHAKES:
                key = (OTHER,) * len(HANDSHAKE_LABELS)
            self._handshakes[key] += 1

    # What others ask.

    def live(self) -> tuple[bool, str]:
        """Whether the loop goes round, and that in words."""
        age = time.monotonic() - self._beat
        return (True, "live") if age < STALLED_S else (False, f"not live: the loop stands still for {age:.0f} s")

    def ready(self) -> tuple[bool, str]:
        """Whether there are probes that are on, and that in words."""
        on = sum(state.on for state in self._states)
        text = f"{on} of {len(self._states)} probes"
        return (True, f"ready: {text}") if self._ready else (False, f"not ready: {text}")

    def families(self) -> Iterable[Family]:
        """All numbers."""
        stats = self._stats()
        yield Family("crypto_tracer_build", "info", "What runs here.", [(self._build, 1)])
        yield _family("crypto_tracer_events", "counter", "Events that came out.", "kind", dict(self._events))
        kernel = {kind: counts.sent for kind, counts in dict(stats.by_kind).items()}
        yield _family("crypto_tracer_records", "counter", "Records that the kernel made.", "kind", kernel)
        lost = {
            "ring": stats.dropped,
            "decode": stats.undecodable,
            "name": stats.unread,
            "skipped_call": stats.skipped,
            "tree": stats.not_followed,
            "output": self._unwritten(),
        }
        yield _family("crypto_tracer_lost", "counter", "What the output lacks, by where it was lost.", "stage", lost)
        states = {state.probe: int(state.on) for state in self._states}
        yield _family("crypto_tracer_probe_up", "gauge", "Whether a probe is attached.", "probe", states)
        rows: list[tuple[Mapping[str, str], float]] = [
            (dict(zip(HANDSHAKE_LABELS, key)), count) for key, count in sorted(dict(self._handshakes).items())
        ]
        yield Family("crypto_tracer_handshakes", "counter", "TLS handshakes, by what was negotiated.", rows)
        yield _single("crypto_tracer_ready", "gauge", "Whether probes are attached.", int(self.ready()[0]))
        yield _single("crypto_tracer_loop_age_seconds", "gauge", "Since the loop went round.",
                      round(max(time.monotonic() - self._beat, 0.0), 3))  # fmt: skip
        times = os.times()
        yield _single("process_cpu_seconds", "counter", "Processor time.", round(times.user + times.system, 2))
        yield _single("process_resident_memory_bytes", "gauge", "Memory.", _resident())
        yield _single("process_start_time_seconds", "gauge", "When it started, since 1970.", round(self._started, 2))

    def text(self, *, open_metrics: bool) -> str:
        """All numbers as text."""
        return render(self.families(), open_metrics=open_metrics)


class Counting:
    """Passes events on to another sink, and counts them."""

    def __init__(self, sink: Sink, metrics: Metrics) -> None:
        self._sink = sink
        self._metrics = metrics
        self._prepare, self._again = repeater(sink)

    @property
    def written(self) -> int:
        """How many events have reached the output."""
        return self._sink.written

    def __enter__(self) -> Counting:
        self._sink.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.__exit__(kind, error, trace)

    def write(self, event: Event) -> None:
        """Take one event."""
        self._sink.write(event)
        self._metrics.count(event)

    def prepare(self, event: Event) -> tuple[Event, Any]:
        """What `again` needs."""
        return event, self._prepare(event)

    def again(self, prepared: tuple[Event, Any], time_ns: int, wall_ns: int) -> None:
        """Take the same event at another time."""
        self._again(prepared[1], time_ns, wall_ns)
        self._metrics.count(prepared[0])

    def flush(self) -> None:
        """Bring out all events so far."""
        self._sink.flush()


def render(families: Iterable[Family], *, open_metrics: bool) -> str:
    """The text of metrics, in the format of OpenMetrics 1.0 or of Prometheus 0.0.4."""
    lines = []
    for family in families:
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        name = family.name if open_metrics else family.name + suffix
        kind = "gauge" if family.type == "info" and not open_metrics else family.type
        lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {kind}"]
        for labels, value in family.samples:
            inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
            lines.append(f"{family.name}{suffix}{'{' + inside + '}' if inside else ''} {value}")
    if open_metrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, label: str, values: Mapping[str, float]) -> Family:
    return Family(name, kind, text, [({label: key}, value) for key, value in values.items()])


def _single(name: str, kind: str, text: str, value: float) -> Family:
    return Family(name, kind, text, [({}, value)])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _label(value: object) -> str:
    """What another machine negotiated, as a label: short and printable, whatever it is."""
    if not isinstance(value, str) or not value:
        return UNKNOWN
    return value if len(value) <= MAX_LABEL and value.isascii() and value.isprintable() else OTHER


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _start_time() -> float:
    """When this process started, in seconds since boot."""
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19]) / _CLOCK_TICKS
    except OSError:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
