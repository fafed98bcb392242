# SPDX-License-Identifier: MIT
"""The eBPF side of the tracer: load, attach, poll, account, clean up.

The probes are objects of their own, so that one that this kernel refuses takes nothing with it. All send
into the ring buffer of the first one that was loaded, and count in its map `counters`: see `tracer.accounting`.

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
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Callable

import pybpfload
from pybpfload import kernel_btf
from pybpfload.errors import BpfError
from tracer.accounting import Stats, describe_losses, read_kinds, skipped_calls
from tracer.clock import BootClock
from tracer.decode import Decoder
from tracer.errors import KernelError, LoadError, NoPrivilegeError, TracerError
from tracer.loaded import (
    TRACED,
    Loaded,
    ProbeState,
    Skipped,
    close_links,
    fill_cgroup,
    load_spec,
    read_spec,
    states_of,
    why_none,
)
from tracer.log import Log
from tracer.probes.base import Context
from tracer.proc import capabilities
from tracer.together import do_together

if TYPE_CHECKING:
    from pybpfload import BpfObject, Map, RingReader
    from tracer.decode import Private
    from tracer.model import Event
    from tracer.probes import Probe
    from tracer.rows import Row
    from tracer.settings import Settings

# Maps that all objects declare alike; the first object's are handed to the others.
RING, COUNTERS, CGROUPS = "events", "counters", "cgroups"
SHARED = (RING, COUNTERS, TRACED, CGROUPS)

POLL_S = 0.010
BATCH = 1024

# How often losses are looked at and the wall clock is measured.
CHECK_S = 1.0

# How often memory that is not needed is given back: looking at new libraries takes some, for a moment.
TRIM_S = 60.0
CLEANUP_S = 5.0

# A ring buffer as full as this is worth a word: what reads it cannot keep up.
FULL = 0.5


class EbpfManager:
    """Everything of the tracer that lives in the kernel. `create` makes one.

    Attributes:
        clock: the wall clock for the times of records.
        skipped: the probes that are not on.
    """

    def __init__(self, probes: Sequence[Probe], settings: Settings, log: Log) -> None:
        self._probes = [probe for probe in probes if probe.wanted(settings)]
        self._settings = settings
        self._log = log
        self.clock = BootClock()
        self._loaded: list[Loaded] = []
        self._shared: dict[str, Map] = {}
        self._ring: RingReader[Row] | None = None
        self._decoder: Decoder | None = None
        self._stats = Stats()
        self._listeners: dict[str, list[Loaded]] = {}
        self._digesting: dict[str, Loaded] = {}
        self._next_check = self._next_trim = 0.0
        self._warned = 0
        self._fullest = 0.0
        self.skipped: list[Skipped] = []

    @classmethod
    def create(cls, probes: Sequence[Probe], settings: Settings, log: Log) -> EbpfManager:
        """A manager for these probes; nothing is in the kernel yet.

        Raises:
            NoPrivilegeError: this process may not trace.
            KernelError: the kernel has no BTF.
        """
        lacking = capabilities.missing(capabilities.effective())
        if lacking and not settings.token:
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

    def __exit__(self, *_: object) -> None:
        self.destroy()

    @property
    def attached(self) -> tuple[str, ...]:
        """Names of the probes that are on."""
        return tuple(loaded.probe.name for loaded in self._loaded if loaded.on)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the probes that should be on."""
        return tuple(probe.name for probe in self._probes)

    @property
    def states(self) -> list[ProbeState]:
        """How each probe is doing, in their order."""
        return states_of(self._probes, self._loaded, self.skipped)

    @property
    def decoder(self) -> Decoder | None:
        """What makes events of records; None before programs are loaded."""
        return self._decoder

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
        for number, probe in enumerate(self._probes, 1):
            self._try_to_load(probe)
            if len(self._shared) == len(SHARED):  # the others take theirs
                do_together(self._try_to_load, self._probes[number:])
                break
        self._loaded.sort(key=lambda loaded: self._probes.index(loaded.probe))
        if self._decoder is None:
            raise why_none(self.skipped, "load")
        if self._settings.cgroup:
            fill_cgroup(self._shared[CGROUPS], self._settings.cgroup)

    def _try_to_load(self, probe: Probe) -> None:
        try:
            self._load(probe)
        except (BpfError, TracerError) as error:
            self._skip(probe, error)

    def _load(self, probe: Probe) -> None:
        spec = read_spec(probe, self._settings)
        shared = {name: each for name, each in self._shared.items() if name in spec.maps}
        obj = load_spec(spec, shared, self._settings)
        try:
            probe.targets(obj.maps)
            if not self._decoder and probe.sends:
                self._make_decoder(obj)
        except KeyError as error:
            obj.close()
            raise LoadError(f"object {spec.name} is not that of this probe: it has no map {error}") from error
        except BaseException:
            obj.close()
            raise
        self._shared.update((name, obj.maps[name]) for name in SHARED if name in obj.maps)
        self._loaded.append(Loaded(probe, Context(obj, self._settings, self._log)))

    def _make_decoder(self, obj: BpfObject) -> None:
        """The first object's ring and counters serve all."""
        spec = obj.spec
        layout = spec.records.get(RING)
        if spec.btf is None or layout is None:
            raise LoadError(f"object {spec.name}: no record type for map `{RING}`")
        decoder = Decoder(layout, spec.btf, self.clock)
        obj.maps[COUNTERS]  # so that its lack is noticed here
        self._decoder = decoder

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
                close_links([loaded])
                self._skip(loaded.probe, error)
                continue
            self._log.detail(f"probe {loaded.probe.name} is on: {len(loaded.links)} links")
            if loaded.probe.on_event:
                for kind in loaded.probe.wants:
                    self._listeners.setdefault(kind, []).append(loaded)
            if loaded.probe.digest:
                self._digesting[loaded.probe.takes] = loaded
        # All is in the kernel, so its types are not needed any more, nor what refers to them: several megabytes.
        pybpfload.forget_kernel_btf()
        for loaded in self._loaded:
            loaded.context.obj.relocations.clear()
        pybpfload.give_back_memory()
        # Only now: its pages count as ours, twice, and both together would be the most that we ever take.
        if self._decoder:
            self._ring = pybpfload.RingReader(self._shared[RING], decode=self._decoder.rows)
        self._next_check = time.monotonic() + CHECK_S
        if not any(loaded.on and loaded.probe.sends for loaded in self._loaded):
            raise why_none(self.skipped, "attach")

    def _skip(self, probe: Probe, error: Exception) -> None:
        self.skipped.append(Skipped(probe.name, str(error), error))
        self._log.warning(f"probe {probe.name} is off: {error}")

    # What comes in.

    def poll_rows(self, timeout_s: float = POLL_S, max_rows: int = BATCH) -> list[Row]:
        """The next records in the order of their times, none if there are none within the timeout.

        Args:
            timeout_s: how long to wait for the first one.
            max_rows: how many to take at most; the others wait for the next call.
        """
        if self._ring is None:
            return []
        rows = self._ring.poll(timeout_s, max_rows)
        if len(rows) > 1:
            rows.sort(key=_row_time)
            if len(rows) >= max_rows:
                self._fullest = max(self._fullest, self.fill)
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_S
            self.clock.measure()
            self._warn_of_losses()
            if now >= self._next_trim:
                self._next_trim = now + TRIM_S
                pybpfload.give_back_memory()
        return rows

    def events(self, rows: Iterable[Row]) -> list[Event]:
        """The events of records; probes that want to know of them are told, and make events of what is none yet."""
        assert self._decoder is not None
        events = list(map(self._decoder.event, rows))
        if self._listeners:
            self._tell(events)
        if self._digesting:
            for loaded in self._digesting.values():
                events = loaded.digest(events)
        return events

    def due(self, *, last: bool = False) -> list[Event]:
        """The events that probes have waited with for long enough; all that they have, if nothing more will come."""
        if not self._digesting:
            return []
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return [event for loaded in self._digesting.values() for event in loaded.due(now_ns, last=last)]

    def poll_events(self, timeout_s: float = POLL_S, max_events: int = BATCH) -> list[Event]:
        """The next events in the order of their times: `poll_rows`, decoded."""
        rows = self.poll_rows(timeout_s, max_events)
        return self.events(rows) if rows else []

    @property
    def listened(self) -> frozenset[str]:
        """The kinds of events that probes want to be told of: each of them, for they may add to it."""
        return frozenset(self._listeners)

    @property
    def ring_fd(self) -> int:
        """The descriptor of the ring buffer, -1 if there is none."""
        return self._shared[RING].fileno() if RING in self._shared else -1

    def _tell(self, events: Sequence[Event]) -> None:
        """Tell the probes of the events that they want to know of."""
        for event in events:
            for loaded in self._listeners.get(event.kind.name, ()):
                try:
                    loaded.tell(event)
                except (BpfError, TracerError) as error:
                    self._log.warning(f"probe {loaded.probe.name}: {error}")

    @property
    def ring_size(self) -> int:
        """How many bytes the ring buffer has room for."""
        return self._ring.size if self._ring else 1

    @property
    def fill(self) -> float:
        """The part of the ring buffer that waits to be polled, 0 to 1."""
        return self._ring.pending / self._ring.size if self._ring else 0.0

    def get_stats(self) -> Stats:
        """What has happened to events so far."""
        ring = self._ring
        if ring is None or self._decoder is None:
            return self._stats
        kinds = read_kinds(self._shared[COUNTERS], self._decoder.kinds)
        self._stats = Stats(
            processed=ring.received,
            dropped=sum(counts.full for counts in kinds.values()),
            undecodable=ring.undecodable,
            unread=sum(counts.unread for counts in kinds.values()),
            skipped=skipped_calls(p for each in self._loaded for p in each.context.obj.programs.values()),
            not_followed=sum(each.probe.losses(each.context) for each in self._loaded),
            by_kind=kinds,
        )
        return self._stats

    @property
    def last_stats(self) -> Stats:
        """The same as it was when somebody looked last: about once a second, by itself. Other threads may ask."""
        return self._stats

    def _warn_of_losses(self) -> None:
        stats = self.get_stats()
        fullest, self._fullest = self._fullest, 0.0
        if stats.missing > self._warned:
            self._warned = stats.missing
            self._log.warning(describe_losses(stats))
        elif fullest >= FULL:
            self._log.warning(
                f"the ring buffer is {fullest:.0%} full: events come faster than they are written",
                hint="filter for a process or a user, or write to a file on a faster disk",
            )

    # The end.

    def detach_programs(self) -> None:
        """Take the programs off: no event is added any more, and those in the ring can still be polled.

        Returns after `CLEANUP_S` at the latest, as `cleanup` does.
        """
        for loaded in self._loaded:
            loaded.context.detached = True
        self._guarded(lambda: close_links(self._loaded))

    def cleanup(self) -> None:
        """Free all that is in the kernel: links, then ring and maps.

        Can be called again. Returns after `CLEANUP_S` at the latest; if the kernel is not done by then, the rest
        is freed when the process ends.
        """
        if not self._loaded:
            return
        self._warn_of_losses()
        self._guarded(self._free)

    def destroy(self) -> None:
        """Clean up, and forget the probes."""
        self.cleanup()
        self._probes = []
        self._decoder = None

    def _guarded(self, work: Callable[[], None]) -> None:
        worker = threading.Thread(target=work, name="cleanup", daemon=True)
        worker.start()
        worker.join(CLEANUP_S)
        if worker.is_alive():
            self._log.warning(f"clean-up: not done after {CLEANUP_S:.0f} s; the rest is freed when the process ends")

    def _free(self) -> None:
        close_links(self._loaded)
        ring, self._ring = self._ring, None
        if ring:
            ring.close()
        loaded, self._loaded = self._loaded, []
        self._shared = {}
        for each in reversed(loaded):
            each.context.obj.close()


_row_time = itemgetter(0)
