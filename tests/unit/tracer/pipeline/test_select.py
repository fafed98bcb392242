"""Which events the options ask for."""

from __future__ import annotations

import os

import pytest

from tests.unit.tracer import events
from tracer.cli import build_parser, complete
from tracer.commands import load_command
from tracer.errors import TracerError, UsageError
from tracer.pipeline.select import Selection

ME = str(os.getpid())


def selection(*arguments, kinds=()):
    command = load_command("monitor")
    return Selection(complete(command, build_parser(["monitor"]).parse_args(["monitor", *arguments])), kinds)


def kept(chosen, event):
    return all(stage(event) is not None for stage in (*chosen.early(), *chosen.late()))


def test_nothing_asked_keeps_all_but_what_is_hidden():
    """Forks are for ourselves."""
    chosen = selection()
    assert kept(chosen, events.file_open())
    assert kept(chosen, events.process_exit())
    assert not kept(chosen, events.process_fork())
    assert chosen.doubts == []


def test_one_value_is_left_to_the_kernel():
    """It saves the event."""
    settings = selection("--uid", "0", "-n", "nginx", "-p", ME).settings
    assert (settings.uid, settings.name, settings.pid) == (0, "nginx", os.getpid())


def test_several_values_are_alternatives():
    """And the kernel, which knows one only, is left out."""
    chosen = selection("-p", "4711,4712", "--uid", "1000,0", "-n", "c?t", "-n", "dog")
    assert (chosen.settings.pid, chosen.settings.uid, chosen.settings.name) == (0, None, "")
    assert chosen.roots == (4711, 4712)
    assert kept(chosen, events.file_open())
    assert not kept(chosen, events.file_open(pid=4713))
    assert not kept(chosen, events.file_open(uid=1))
    assert not kept(chosen, events.file_open(comm="bird"))


def test_filters_are_all_to_match():
    """A file and a container."""
    chosen = selection("-F", "*.key", "-F", "/etc/ssl", "--container", "3f")
    inside = {"container": "3f" + "0" * 62}
    assert kept(chosen, events.file_open("/tmp/x.key", **inside))
    assert kept(chosen, events.file_open("x.pem", file_path="/etc/ssl/x.pem", **inside))
    assert not kept(chosen, events.file_open("/tmp/x.pem", **inside))
    assert not kept(chosen, events.file_open("/tmp/x.key", container=None))


def test_file_filter_lets_processes_be_seen_by_later_stages_and_drops_them_then():
    """Who executes what is known from these events."""
    chosen = selection("-F", "*.key")
    event = events.process_exec()
    assert all(stage(event) for stage in chosen.early())
    assert not kept(chosen, event)


def test_library_filter_keeps_libraries_only():
    """Of any kind of event that has one."""
    chosen = selection("-l", "ssl", "-l", "libgnu*")
    assert kept(chosen, events.lib_load(library_name="libssl"))
    assert kept(chosen, events.lib_open("libgnutls.so.30", library_name="libgnutls"))
    assert not kept(chosen, events.lib_load("/usr/lib/libgcrypt.so", library_name="libgcrypt"))
    assert not kept(chosen, events.file_open())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-F", "*.pem", "-l", "ssl"], "--library can match nothing here"),
        (["-n", "a-name-of-16-byte"], "no thread has a name of more than 15 bytes"),
        (["-n", "a-name-of-16-byte*"], "no thread has a name of more than 15 bytes"),
        (["-n", "[ab]*fourteen-more-[c]?"], "no thread has a name of more than 15 bytes"),
        (["-F", "*.log"], "outside directories of cryptography"),
        (["-F", "/srv/*.log"], "neither its name nor its directory"),
        (["-F", "/bin/sh"], "it is a file"),
        (["-l", "libfoo"], "the catalog has no library of such a name"),
        (["-l", "libfoo.so.3"], "the catalog has no library of such a name"),
        (["-l", "libfoo*"], "the catalog has no library of such a name"),
        (["--container", "/docker/3f"], "ids of containers"),
    ],
)
def test_filter_that_can_never_match_is_doubted(arguments, words):
    """Before somebody waits for nothing."""
    (doubt,) = selection(*arguments).doubts
    assert words in doubt


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "[abcdefghijklm]*"],
        ["-n", "fifteen-bytes-1*"],
        ["-l", "ssl"],
        ["-l", "libssl.so.3"],
        ["-l", "libss*"],
        ["-l", "/opt/libfoo/*"],
        ["-l", "node"],
        ["-l", "libcrypto-1a2b3c4d.so.3"],
        ["--container", "3f2a*"],
        ["--container", "my.web-1"],
        ["-F", "/etc/ssl/openssl.cnf"],
        ["-F", "/bin/sh-that-is-not-there"],
    ],
)
def test_filter_that_can_match_is_not_doubted(arguments):
    """A warning that is wrong makes people overlook the next one."""
    assert selection(*arguments).doubts == []


def test_file_filter_of_a_command_about_libraries_is_doubted():
    """`libs -F` of a script for the C tool."""
    assert "--file can match nothing here" in selection("-F", "*.pem", kinds=("lib_load",)).doubts[0]


def test_follow_children_has_a_tree():
    """Of the processes that are named, or have the name."""
    chosen = selection("-p", ME, "--follow-children")
    assert chosen.settings.tree == chosen.roots == (os.getpid(),)
    assert chosen.settings.pid == 0


def test_follow_children_of_nobody_is_an_error():
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="which processes"):
        selection("--follow-children")
    with pytest.raises(TracerError, match="no process that runs has the name no-such-name"):
        selection("--follow-children", "-n", "no-such-name")


def test_cgroup_that_does_not_exist_is_an_error():
    """With a way to find one."""
    with pytest.raises(UsageError, match="there is no such control group"):
        selection("--cgroup", "no-such-group.slice")
