"""The list of stages, and how events run through it."""

from __future__ import annotations

from tests.unit.tracer import events
from tracer.pipeline import build_pipeline, run_pipeline
from tracer.proc.table import ProcessTable
from tracer.settings import Settings

PRIVATE = {"file_open": (("path", "path"),), "process_exec": (("path", "path"), ("argv", "argv")), "process_exit": ()}
OWN_PID = 99


def run(settings, *given):
    return run_pipeline(build_pipeline(settings, ProcessTable(), PRIVATE), given)


def test_pipeline_redacts_by_default():
    """Nobody has to ask for privacy."""
    (event,) = run(Settings(own_pid=OWN_PID), events.file_open("/home/alice/x.pem"))
    assert event.fields["path"] == "/home/USER/x.pem"


def test_pipeline_without_redaction_shows_all():
    """--no-redact leaves that stage out."""
    (event,) = run(Settings(own_pid=OWN_PID, redact=False), events.file_open("/home/alice/x.pem"))
    assert event.fields["path"] == "/home/alice/x.pem"


def test_pipeline_drops_the_tracers_own_events():
    """Also where the kernel did not filter."""
    assert run(Settings(own_pid=OWN_PID), events.file_open(pid=OWN_PID)) == []


def test_pipeline_with_pid_keeps_that_process_only():
    """The filter of user space gives the same answer as the kernel's."""
    mine, other = events.file_open(pid=5), events.file_open(pid=6)
    assert run(Settings(own_pid=OWN_PID, pid=5), mine, other) == [mine]


def test_pipeline_classifies_before_it_redacts():
    """/root/.ssh/ says what a file is; redacted, it would not."""
    (event,) = run(Settings(own_pid=OWN_PID), events.file_open("/root/.ssh/config.d"))
    assert (event.fields["file_type"], event.fields["path"]) == ("other", "/home/ROOT/.ssh/config.d")


def test_pipeline_drops_files_that_are_none_of_ours():
    """What matches no row of the catalog goes."""
    assert run(Settings(own_pid=OWN_PID), events.file_open("/etc/passwd")) == []


def test_pipeline_keeps_order_and_other_kinds():
    """Exec and exit have no file, and pass."""
    given = [events.process_exec(), events.file_open(), events.process_exit()]
    assert run(Settings(own_pid=OWN_PID), *given) == given


def test_pipeline_stops_at_the_stage_that_drops():
    """Stages after it do not see the event."""
    seen = []
    stages = [lambda event: None, seen.append]
    assert run_pipeline(stages, [events.file_open()]) == []
    assert seen == []
