# SPDX-License-Identifier: MIT
"""One run of the tracer, from the first check to the last line.

The order matters. Whether we may trace at all is asked first, then the output is opened, and only then is
anything loaded: nothing is left of a run that cannot be. At the end the programs are taken off first, and
what is still in the ring is written: all that happened before the end comes out.

Three lines on stderr mark the run; the first is what scripts wait for::

    crypto-tracer: ready (3 of 3 probes, 0.21 s)
    crypto-tracer: process 4711 ended
    crypto-tracer: 120 events in 5.0 s, 0 lost
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pybpfload
from pybpfload.errors import BpfError
from tracer.errors import LoadError, ReaderGoneError
from tracer.manager import BATCH, EbpfManager
from tracer.pause import Pause
from tracer.pipeline import build_known, build_pipeline
from tracer.present import PRESENT, PRIVATE
from tracer.probes import PROBES
from tracer.probes.process_exec import PROCESS_EXEC
from tracer.proc import capabilities
from tracer.proc.table import ProcessTable
from tracer.proc.target import Targets
from tracer.proc.tree import descendants
from tracer.service import Service
from tracer.sinks import is_document
from tracer.sinks.output import open_output
from tracer.stream import Stream
from tracer.view import View

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable

    from tracer.accounting import Stats
    from tracer.log import Log
    from tracer.model import Event
    from tracer.pipeline.select import Selection
    from tracer.probes import Probe
    from tracer.sinks import Sink
    from tracer.sinks.output import Output
    from tracer.sinks.recording import Recording
    from tracer.stop import Stop

# How long the rest of the ring may take to write, once the programs are off.
DRAIN_S = 1.0

# Who keeps the processors busy makes the most events. This is enough to keep up with them, and not to hold them up.
NICE = -5

# Probes that can be left out, and the kinds of events that they send.
OPTIONAL = {
    "file_open": {"file_open"},
    "lib_load": {"lib_load"},
    "lib_open": {"lib_open"},
    "openssl_api": {"api_call", "tls_handshake"},
    "kernel_crypto": {"kernel_crypto"},
    "wire": {"tls_handshake", "ssh_handshake"},
    "api_count": {"api_count"},
}


def has_terminal() -> bool:
    """Whether this process has a terminal that can stop it."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def probes_for(kinds: Iterable[str], *, only_wire: bool = False) -> list[Probe]:
    """The probes that are needed for these kinds of events. Those of processes always are: they tell who is who."""
    wanted = set(kinds)
    needed = [each for each in PROBES if each.name not in OPTIONAL or wanted & OPTIONAL[each.name]]
    if only_wire:
        needed = [each for each in needed if each.name != "openssl_api"]
    wants = {kind for each in needed for kind in each.wants}
    return [each for each in PROBES if each in needed or each.name in wants]


def follower(targets: Targets) -> Callable[[Event], None]:
    """Remembers new processes of the tree."""
    return lambda event: targets.forked(event.fields["pid"], event.fields["child"])


class Session:
    """A run with the options of the command line.

    Args:
        options: duration, format, output and words; started is when the program began, by the monotonic clock.
        selection: what to watch, and what of it to show.
        view: how to show it; the format of the options if there is none.
        needs: the probe without which there is nothing to see; none if it is empty.
        whole_tree: whether the run lasts until descendants have ended, too, if these are watched.
    """

    def __init__(
        self,
        options: Namespace,
        log: Log,
        stop: Stop,
        selection: Selection,
        view: View | None = None,
        *,
        whole_tree: bool = True,
        needs: str = "",
    ) -> None:
        self._options = options
        self._log = log
        self._stop = stop
        self._ends_at = float("inf")
        self._left = 0
        self._selection = selection
        self._settings = selection.settings
        self._whole_tree = whole_tree and bool(self._settings.tree)
        self._view = view or View()
        self._needs = needs
        self._recording: Recording | None = None
        self._terminal = has_terminal()
        self._service = Service(options, log)

    def run(self) -> int:
        """Trace until it is time to end; returns the exit code.

        Raises:
            TracerError: with the exit code that fits.
        """
        options, view, selection = self._options, self._view, self._selection
        if self._settings.pid_ns:
            self._log.note("only processes of this container or pod are shown, by the ids that they have here")
        selection.warn(self._log.warning)
        document = view.document or is_document(options.format)
        with (
            EbpfManager.create(
                probes_for(selection.kinds, only_wire=selection.only_wire), self._settings, self._log
            ) as manager,
            Targets(selection.roots, tree=self._whole_tree) as target,
            open_output(options.output, self._is_over, document=document) as output,
            self._make_sink(output) as sink,
            self._service,
        ):
            self._stop.reopens = output.is_file
            counting = self._service.begin(manager, output, sink)
            manager.load_programs()
            if not self._stop.requested:
                manager.attach_programs()
                self._check(manager)
                self._limit(manager)
                if self._recording and manager.decoder:
                    self._recording.describe(manager.decoder)
                self._run(manager, counting, target, output)
        return self._stop.exit_code

    def _make_sink(self, output: Output) -> Sink:
        """What takes the events, with a recording in front of it if there is to be one."""
        sink = self._view.make_sink(self._options, output)
        if not self._options.record:
            return sink
        from tracer.sinks.recording import Recording

        self._recording = Recording(self._options.record, sink, redacted=self._settings.redact)
        return self._recording

    def _check(self, manager: EbpfManager) -> None:
        for state in manager.states:
            if state.probe == self._needs and not state.on:
                raise LoadError(f"there is nothing to see without the probe {state.probe}", hint=state.remedy)

    def _limit(self, manager: EbpfManager) -> None:
        """Take precedence over what is watched, and give up what nobody needs any more."""
        try:
            os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0), NICE))
        except PermissionError:
            pass  # then it has to do without
        for loss in capabilities.lacks(capabilities.effective()):
            self._log.warning(loss)
        self._service.attached(manager)
        if self._service.dropped:
            return
        try:
            pybpfload.limit_capabilities(capabilities.KEPT)
        except BpfError as error:
            self._log.detail(f"capabilities are kept: {error}")

    def _run(self, manager: EbpfManager, sink: Sink, target: Targets, output: Output) -> None:
        attached = manager.attached
        processes = ProcessTable(sees_exec=PROCESS_EXEC.name in attached)
        processes.look_around()
        stages = build_pipeline(self._settings, processes, manager.private, self._selection, self._options.words)
        private = {PRESENT: PRIVATE, **manager.private}
        settings = self._settings._replace(tree=tuple(descendants(self._settings.tree)))
        self._view.begin(sink, build_known(settings, private, self._selection, self._options.words))
        stream = Stream(
            manager.events,
            stages,
            sink,
            manager.clock,
            listened=manager.listened,
            remembers=processes.remembers,
            notice=follower(target) if self._settings.tree else None,
        )
        began = time.monotonic()
        if self._options.duration:
            self._ends_at = began + self._options.duration
        took_s = began - self._options.started
        self._log.note(f"ready ({len(attached)} of {len(manager.wanted)} probes, {took_s:.2f} s)")
        try:
            self._trace(manager, stream, sink, target, output)
            self._view.leave()
            self._drain(manager, stream, sink)
        except ReaderGoneError as error:
            self._log.detail(str(error))
        finally:
            manager.cleanup()
            self._summarise(manager.get_stats(), sink, output, time.monotonic() - began)

    def _is_over(self) -> bool:
        return self._stop.requested or time.monotonic() >= self._ends_at

    def _trace(self, manager: EbpfManager, stream: Stream, sink: Sink, target: Targets, output: Output) -> None:
        with Pause(manager.ring_fd, self._view.key_fd) as pause:
            while not self._is_over() and not self._view.tick(manager):
                self._service.beat()
                seem_ended = target.seem_ended()
                rows, due = manager.poll_rows(), manager.due()
                if self._stop.reopen:
                    self._reopen(output)
                if rows or due:
                    stream.take(rows)
                    stream.write(due)
                    sink.flush()
                    filled = sum(len(row[1]) for row in rows) / manager.ring_size
                    pause.after(len(rows), filled, all_taken=len(rows) < BATCH)
                # Others may be busy without end. All that those did who had ended before is told by now.
                if seem_ended and len(rows) < BATCH and target.have_ended():
                    pids = ", ".join(map(str, target.pids))
                    self._log.note(f"process{'es' if len(target.pids) > 1 else ''} {pids} ended")
                    return
                if not rows and output.reader_gone:
                    raise ReaderGoneError("nobody reads the output any more")

    def _reopen(self, output: Output) -> None:
        """SIGHUP: somebody has moved the file away; or the terminal is gone."""
        self._stop.reopen = False
        if self._terminal and not has_terminal():
            self._stop.signum = self._stop.signum or signal.SIGHUP
            return
        output.reopen()
        self._log.detail("SIGHUP: the output was opened again")

    def _drain(self, manager: EbpfManager, stream: Stream, sink: Sink) -> None:
        manager.detach_programs()
        give_up_at = time.monotonic() + DRAIN_S
        while time.monotonic() < give_up_at:
            rows = manager.poll_rows()
            stream.take(rows)
            if not rows:
                stream.write(manager.due(last=True))
            sink.flush()
            if not rows:
                return
        while rows := manager.poll_rows(0.0):
            self._left += len(rows)
        if self._left:
            self._log.warning(f"{self._left} events were left: no time to write them")

    def _summarise(self, stats: Stats, sink: Sink, output: Output, took_s: float) -> None:
        self._view.end(stats.missing)
        text = f"{sink.written} events in {took_s:.1f} s, {stats.dropped} lost"
        if stats.undecodable:
            text += f", {stats.undecodable} not readable"
        if stats.unread:
            text += f", {stats.unread} names not readable"
        if stats.skipped:
            text += f", {stats.skipped} calls left out by the kernel"
        if stats.not_followed:
            text += f", {stats.not_followed} processes not followed"
        if self._left:
            text += f", {self._left} left"
        if output.unwritten:
            text += f", {output.unwritten} not written"
        self._log.note(text)
