# SPDX-License-Identifier: MIT
"""The eBPF side of the tracer: load, attach, poll, account, clean up.

The probes are objects of their own, so that one that this kernel refuses takes nothing with it. All send
into the ring buffer of the first one that was loaded, and count what they lose in its map `lost`.

::

    create ─► load_programs ─► attach_programs ─► poll_events ... ─► cleanup ─► destroy
                                                       └► detach_programs ─► poll_events (the rest) ┘

What holds at any time:

- A probe is on, or it is in `skipped` with the reason, and that has been said on stderr.
- Everything in the kernel belongs to file descriptors of this process: even kill -9 leaves nothing.
- `get_stats` counts all events of this manager, after `cleanup` as before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import pybpfload
from pybpfload import kernel_btf
from pybpfload.errors import BpfError, PrivilegeError, UnsupportedError
from tracer import objects
from tracer.clock import BootClock
from tracer.decode import KIND_ENUM, KIND_PREFIX, Decoder
from tracer.errors import KernelError, LoadError, NoPrivilegeError, TracerError
from tracer.log import Log
from tracer.probes.base import Context
from tracer.proc import capabilities

if TYPE_CHECKING:
    from types import TracebackType

    from pybpfload import BpfObject, Link, Map, RingReader
    from tracer.decode import Private
    from tracer.model import Event
    from tracer.probes import Probe
    from tracer.settings import Settings

# Maps that all objects declare alike; the first object's are handed to the others.
RING, LOST = "events", "lost"
SHARED = (RING, LOST)

POLL_S = 0.010
BATCH = 100

# How often losses are looked at and the wall clock is measured.
CHECK_S = 1.0
CLEANUP_S = 5.0

# Links of these kinds go first: taking a uprobe away writes into the code of running programs.
UPROBES = ("uprobe", "uretprobe", "uprobe_multi", "usdt")


class Skipped(NamedTuple):
    """A probe that is not on, and why."""

    probe: str
    reason: str
    cause: Exception


class Stats(NamedTuple):
    """What has happened to events so far.

    Attributes:
        processed: received from the ring buffer and decoded.
        dropped: lost in the kernel, because the ring buffer was full.
        undecodable: received, but of a form that nobody knows.
        dropped_by_kind: `dropped`, for each kind of event that lost any.
    """

    processed: int = 0
    dropped: int = 0
    undecodable: int = 0
    dropped_by_kind: dict[str, int] = {}  # noqa: RUF012  never changed


class _Loaded:
    """A probe in the kernel."""

    def __init__(self, probe: Probe, context: Context) -> None:
        self.probe = probe
        self.context = context
        self.on = False

    @property
    def links(self) -> list[Link]:
        """What it has attached."""
        return self.context.links

    def attach(self) -> None:
        """Attach what is to be attached at the start."""
        if self.probe.attach:
            self.probe.attach(self.context)
        else:
            for program in self.context.obj.programs.values():
                self.links.append(pybpfload.attach(program))
        self.on = True

    def tell(self, event: Event) -> None:
        """Let the probe know of an event."""
        if self.probe.on_event:
            self.probe.on_event(self.context, event)


class EbpfManager:
    """Everything of the tracer that lives in the kernel. `create` makes one.

    Attributes:
        skipped: the probes that are not on.
    """

    def __init__(self, probes: Sequence[Probe], settings: Settings, log: Log) -> None:
        self._probes = probes
        self._settings = settings
        self._log = log
        self._clock = BootClock()
        self._loaded: list[_Loaded] = []
        self._shared: dict[str, Map] = {}
        self._ring: RingReader[Event] | None = None
        self._decoder: Decoder | None = None
        self._kinds: dict[int, str] = {}
        self._stats = Stats()
        self._listeners: dict[str, list[_Loaded]] = {}
        self._next_check = 0.0
        self._warned = 0
        self.skipped: list[Skipped] = []

    @classmethod
    def create(cls, probes: Sequence[Probe], settings: Settings, log: Log) -> EbpfManager:
        """A manager for these probes; nothing is in the kernel yet.

        Raises:
            NoPrivilegeError: this process may not trace.
            KernelError: the kernel has no BTF.
        """
        lacking = capabilities.missing(capabilities.effective())
        if lacking:
            message, hint = capabilities.explain(lacking)
            raise NoPrivilegeError(message, hint=hint)
        try:
            kernel_btf()
        except BpfError as error:
            raise KernelError(
                str(error),
                hint="use a kernel built with CONFIG_DEBUG_INFO_BTF; those of distributions since 2020 are",
            ) from error
        return cls(probes, settings, log)

    def __enter__(self) -> EbpfManager:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy()

    # What is on.

    @property
    def attached(self) -> tuple[str, ...]:
        """Names of the probes that are on."""
        return tuple(loaded.probe.name for loaded in self._loaded if loaded.on)

    @property
    def private(self) -> Private:
        """Which fields of each kind of event are private; see `tracer.decode.Decoder`."""
        return self._decoder.private if self._decoder else {}

    def load_programs(self) -> None:
        """Load the object of each probe and fill its maps.

        Raises:
            LoadError: none could be loaded.
            NoPrivilegeError, KernelError: the same, and that is why.
        """
        for probe in self._probes:
            try:
                self._load(probe)
            except (BpfError, TracerError) as error:
                self._skip(probe, error)
        self._require(len(self._loaded), "load")

    def _load(self, probe: Probe) -> None:
        spec = pybpfload.read_object(objects.read(probe.object_name), name=probe.object_name)
        try:
            for knob, value in probe.knobs(self._settings).items():
                spec.variables[knob] = value
        except KeyError as error:
            raise LoadError(f"object {spec.name} is not that of this probe: {error.args[0]}") from error
        obj = pybpfload.load(spec, maps=dict(self._shared), kernel_btf=kernel_btf())
        try:
            probe.targets(obj.maps)
            if not self._ring:
                self._open_ring(obj)
        except KeyError as error:
            obj.close()
            raise LoadError(f"object {spec.name} is not that of this probe: it has no map {error}") from error
        except BaseException:
            obj.close()
            raise
        self._loaded.append(_Loaded(probe, Context(obj, self._settings, self._log)))

    def _open_ring(self, obj: BpfObject) -> None:
        """The first object's ring and counters serve all."""
        spec = obj.spec
        layout = spec.records.get(RING)
        if spec.btf is None or layout is None:
            raise LoadError(f"object {spec.name}: no record type for map `{RING}`")
        decoder = Decoder(layout, spec.btf, self._clock)
        self._ring = pybpfload.RingReader(obj.maps[RING], decode=decoder)
        self._decoder = decoder
        self._shared = {name: obj.maps[name] for name in SHARED}
        prefix = len(KIND_PREFIX)
        self._kinds = {n: name[prefix:].lower() for name, n in spec.btf.enum_values(KIND_ENUM).items()}

    def attach_programs(self) -> None:
        """Attach the programs of all loaded probes: events come from here on.

        Raises:
            LoadError: none could be attached.
            NoPrivilegeError, KernelError: the same, and that is why.
        """
        for loaded in self._loaded:
            try:
                loaded.attach()
            except (BpfError, TracerError) as error:
                self._close_links([loaded])
                self._skip(loaded.probe, error)
                continue
            self._log.detail(f"probe {loaded.probe.name} is on: {len(loaded.links)} links")
            if loaded.probe.on_event:
                for kind in loaded.probe.wants:
                    self._listeners.setdefault(kind, []).append(loaded)
        self._next_check = time.monotonic() + CHECK_S
        self._require(len(self.attached), "attach")

    def _skip(self, probe: Probe, error: Exception) -> None:
        self.skipped.append(Skipped(probe.name, str(error), error))
        self._log.warning(f"probe {probe.name} is off: {error}")

    def _require(self, count: int, verb: str) -> None:
        """Raises the error that says best why no probe is on."""
        if count:
            return
        causes = [skipped.cause for skipped in self.skipped]
        message = f"cannot {verb} any probe"
        if causes and all(isinstance(cause, PrivilegeError) for cause in causes):
            raise NoPrivilegeError(
                f"{message}: the kernel refuses, although this process has the capabilities",
                hint="look for a seccomp filter (containers have one), kernel lockdown or a security module",
            )
        if causes and all(isinstance(cause, (UnsupportedError, KernelError)) for cause in causes):
            raise KernelError(f"{message}: this kernel is too old or lacks an option")
        raise LoadError(f"{message}: see the warnings above")

    # What comes in.

    def poll_events(self, timeout_s: float = POLL_S, max_events: int = BATCH) -> list[Event]:
        """The next events in the order of their times, none if there are none within the timeout.

        Args:
            timeout_s: how long to wait for the first one.
            max_events: how many to take at most; the others wait for the next call.
        """
        if self._ring is None:
            return []
        events = self._ring.poll(timeout_s, max_events)
        if len(events) > 1:
            events.sort(key=_event_time)
        if self._listeners:
            self._tell(events)
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_S
            self._clock.measure()
            self._warn_of_losses()
        return events

    def _tell(self, events: Sequence[Event]) -> None:
        """Tell the probes of the events that they want to know of."""
        for event in events:
            for loaded in self._listeners.get(event.kind.name, ()):
                try:
                    loaded.tell(event)
                except (BpfError, TracerError) as error:
                    self._log.warning(f"probe {loaded.probe.name}: {error}")

    @property
    def pending_bytes(self) -> int:
        """How much of the ring buffer waits to be polled."""
        return self._ring.pending if self._ring else 0

    def get_stats(self) -> Stats:
        """What has happened to events so far."""
        if self._ring is None:
            return self._stats
        lost = self._lost_by_kind()
        ring = self._ring
        self._stats = Stats(ring.received, sum(lost.values()), ring.undecodable, lost)
        return self._stats

    def _lost_by_kind(self) -> dict[str, int]:
        counters = self._shared[LOST]
        counts = {name: sum(counters[number]) for number, name in self._kinds.items()}
        return {name: count for name, count in counts.items() if count}

    def _warn_of_losses(self) -> None:
        stats = self.get_stats()
        total = stats.dropped + stats.undecodable
        if total > self._warned:
            self._warned = total
            self._log.warning(describe_losses(stats))

    # The end.

    def detach_programs(self) -> None:
        """Take the programs off: no event is added any more, and those in the ring can still be polled."""
        self._listeners = {}
        self._close_links(self._loaded)

    def cleanup(self) -> None:
        """Free all that is in the kernel: uprobes, then the other links, then ring and maps.

        Can be called again. Returns after `CLEANUP_S` at the latest; if the kernel is not done by then, the rest
        is freed when the process ends.
        """
        if not self._loaded:
            return
        self._warn_of_losses()
        worker = threading.Thread(target=self._free, name="cleanup", daemon=True)
        worker.start()
        worker.join(CLEANUP_S)
        if worker.is_alive():
            self._log.warning(f"clean-up: not done after {CLEANUP_S:.0f} s; the rest is freed when the process ends")

    def destroy(self) -> None:
        """Clean up, and forget the probes."""
        self.cleanup()
        self._probes = ()
        self._decoder = None

    def _free(self) -> None:
        self._close_links(self._loaded)
        ring, self._ring = self._ring, None
        if ring:
            ring.close()
        loaded, self._loaded = self._loaded, []
        self._shared = {}
        for each in reversed(loaded):
            each.context.obj.close()

    @staticmethod
    def _close_links(loaded: Sequence[_Loaded]) -> None:
        links = [(link.kind not in UPROBES, each, link) for each in loaded for link in each.links]
        for _, each, link in sorted(links, key=itemgetter(0)):
            link.close()
            each.links.remove(link)
        for each in loaded:
            each.on = False


def _event_time(event: Event) -> int:
    time_ns: int = event.fields["time"]
    return time_ns


def describe_losses(stats: Stats) -> str:
    """One line about the events that did not come through."""
    parts = []
    if stats.dropped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in stats.dropped_by_kind.items())
        parts.append(f"lost {stats.dropped} events so far ({kinds}): the ring was full, or a name not readable")
    if stats.undecodable:
        parts.append(f"{stats.undecodable} records so far have a form that is not known")
    return "; ".join(parts)
