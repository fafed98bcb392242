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
from tracer.errors import ReaderGoneError, TracerError
from tracer.manager import BATCH, EbpfManager
from tracer.pipeline import build_known, build_pipeline, run_pipeline
from tracer.present import PRESENT, PRIVATE
from tracer.probes import PROBES
from tracer.probes.process_exec import PROCESS_EXEC
from tracer.proc import capabilities
from tracer.proc.table import ProcessTable
from tracer.proc.target import Targets, in_pid_namespace
from tracer.proc.tree import descendants
from tracer.sinks import is_document
from tracer.sinks.output import open_output
from tracer.sinks.recording import recording
from tracer.view import View

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from tracer.accounting import Stats
    from tracer.log import Log
    from tracer.model import Event
    from tracer.pipeline import Stages
    from tracer.pipeline.select import Selection
    from tracer.probes import Probe
    from tracer.sinks import Sink
    from tracer.sinks.output import Output
    from tracer.stop import Stop

# How long the rest of the ring may take to write, once the programs are off.
DRAIN_S = 1.0

# Who keeps the processors busy makes the most events. This is enough to keep up with them, and not to hold them up.
NICE = -5

# How long events gather before they are taken: soon after FEW, later after more.
SOON_S = 0.010
GATHER_S = 0.040
FEW = 8

# Probes that can be left out, and the kinds of events that they send.
OPTIONAL = {
    "file_open": {"file_open"},
    "lib_load": {"lib_load"},
    "lib_open": {"lib_open"},
    "openssl_api": {"api_call", "tls_handshake"},
    "kernel_crypto": {"kernel_crypto"},
    "wire": {"tls_handshake", "ssh_handshake"},
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


def follow(targets: Targets, events: Iterable[Event]) -> None:
    """Remember new processes of the tree."""
    for event in events:
        if event.kind.child:
            targets.forked(event.fields["pid"], event.fields["child"])


class Session:
    """A run with the options of the command line.

    Args:
        options: duration, format, output and words; started is when the program began, by the monotonic clock.
        selection: what to watch, and what of it to show.
        view: how to show it; the format of the options if there is none.
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
        self._terminal = has_terminal()

    def run(self) -> int:
        """Trace until it is time to end; returns the exit code.

        Raises:
            TracerError: with the exit code that fits.
        """
        options, view, selection = self._options, self._view, self._selection
        if in_pid_namespace():
            self._explain_pids()
        selection.warn(self._log.warning)
        document = view.document or is_document(options.format)
        with (
            EbpfManager.create(
                probes_for(selection.kinds, only_wire=selection.only_wire), self._settings, self._log
            ) as manager,
            Targets(selection.roots, tree=self._whole_tree) as target,
            open_output(options.output, self._is_over, document=document) as output,
            recording(options.record, view.make_sink(options, output)) as sink,
        ):
            self._stop.reopens = output.is_file
            manager.load_programs()
            if not self._stop.requested:
                manager.attach_programs()
                self._limit()
                self._run(manager, sink, target, output)
        return self._stop.exit_code

    def _explain_pids(self) -> None:
        """The kernel tells pids of its own, first namespace; in another one they are not what anybody means."""
        what = "this process has a PID namespace of its own, and the kernel tells the host's pids"
        hint = "run in the host's PID namespace: hostPID: true, --pid=host"
        if self._selection.roots:
            raise TracerError(f"--pid {self._selection.roots[0]}: {what}", hint=hint)
        self._log.warning(f"{what}: exe may be missing, and this program's own files are shown", hint=hint)

    def _limit(self) -> None:
        """Take precedence over what is watched, and give up what nobody needs any more."""
        try:
            os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0), NICE))
        except PermissionError:
            pass  # then it has to do without
        for loss in capabilities.lacks(capabilities.effective()):
            self._log.warning(loss)
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
        began = time.monotonic()
        if self._options.duration:
            self._ends_at = began + self._options.duration
        took_s = began - self._options.started
        self._log.note(f"ready ({len(attached)} of {len(manager.wanted)} probes, {took_s:.2f} s)")
        try:
            self._trace(manager, stages, sink, target, output)
            self._drain(manager, stages, sink)
        except ReaderGoneError as error:
            self._log.detail(str(error))
        finally:
            manager.cleanup()
            self._summarise(manager.get_stats(), sink, output, time.monotonic() - began)

    def _is_over(self) -> bool:
        return self._stop.requested or time.monotonic() >= self._ends_at

    def _trace(self, manager: EbpfManager, stages: Stages, sink: Sink, target: Targets, output: Output) -> None:
        while not self._is_over():
            events = manager.poll_events()
            if self._stop.reopen:
                self._reopen(output)
            if self._settings.tree:
                follow(target, events)
            if events:
                write(sink, run_pipeline(stages, events))
                if len(events) < BATCH:
                    # Let events gather: to be woken for each one costs more than its work. A few may be the first
                    # words of a process that will not live long; many will go on for a while.
                    time.sleep(GATHER_S if len(events) > FEW else SOON_S)
            elif target.ended:
                ended = ", ".join(map(str, target.pids))
                self._log.note(f"process{'es' if len(target.pids) > 1 else ''} {ended} ended")
                return
            elif output.reader_gone:
                raise ReaderGoneError("nobody reads the output any more")

    def _reopen(self, output: Output) -> None:
        """SIGHUP: somebody has moved the file away; or the terminal is gone."""
        self._stop.reopen = False
        if self._terminal and not has_terminal():
            self._stop.signum = self._stop.signum or signal.SIGHUP
            return
        output.reopen()
        self._log.detail("SIGHUP: the output was opened again")

    def _drain(self, manager: EbpfManager, stages: Stages, sink: Sink) -> None:
        manager.detach_programs()
        give_up_at = time.monotonic() + DRAIN_S
        while time.monotonic() < give_up_at:
            events = manager.poll_events()
            if not events:
                return
            write(sink, run_pipeline(stages, events))
        while events := manager.poll_events(0.0):
            self._left += len(events)
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


def write(sink: Sink, events: Iterable[Event]) -> None:
    """One batch: all its events, then the flush."""
    for event in events:
        sink.write(event)
    sink.flush()
