"""The live table on a real terminal: tmux shows what a user would see, and keys are pressed as by one."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.runs import run_any
from tests.support.screens import PROMPT, Screen
from tests.support.sources import ROOT
from tests.support.workloads import Tracer, Workload, paced_opens, wait_until

pytestmark = pytest.mark.kernel

TOP = f"{sys.executable} -m tracer top"
SIZES = [(60, 20), (100, 30), (200, 50)]
# Opens that the recording has: names, and how often. The second one is hostile to terminals.
OPENS = {"site.key": 7, "\x1b[31m\u202e中[bold]e\u0301.pem": 3, "missing.crt": 13}
TOTAL = sum(OPENS.values())
DO = """
import json
for name, count in json.loads(sys.argv[1]).items():
    for _ in range(count):
        try:
            os.close(os.open(name, os.O_RDONLY))
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording of one process, with known opens."""
    folder = tmp_path_factory.mktemp("recording")
    for name in list(OPENS)[:2]:
        (folder / name).touch()
    path = folder / "events.rec"
    names = {str(folder / name): count for name, count in OPENS.items()}
    with (
        Workload(DO, json.dumps(names)) as workload,
        Tracer("--pid", str(workload.pid), "--file", f"{folder}/*", "--record", str(path)) as tracer,
    ):
        workload.go()
        tracer.wait()
    return path


@pytest.fixture
def screen(tmp_path):
    with Screen(tmp_path) as found:
        yield found


def rows(lines):
    """Those of the table: behind the titles, before the foot."""
    titles = [number for number, line in enumerate(lines) if re.match(r"(TIME|PROCESS|T|G| +PID|LIBRARY|WHAT) ", line)]
    return [line for line in lines[titles[0] + 1 : -1] if line.strip()] if titles else []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_table_shows_a_recording_at_any_size(tmp_path, recording, width, height):
    """Every view fills the screen, and no name breaks a line."""
    with Screen(tmp_path, width, height) as screen:
        screen.run(f"{TOP} --replay {recording} --speed 4096x")
        # The foot is drawn last: behind it, the whole frame is there.
        lines = screen.until(lambda lines: "end of the" in lines[0] and f"1/{TOTAL} " in lines[-1], "all events")
        assert len(lines) == height
        assert len(rows(lines)) == min(TOTAL, height - 5)
        for key, title in zip("23456", ("EVENTS▼", "OPENS▼", "PROCS▼", "COUNT▼", "DETAIL")):
            screen.keys(key)
            screen.shows(title)
        screen.keys("3")
        lines = screen.until(lambda lines: len(rows(lines)) == len(OPENS), "one row for each file")
        found = rows(lines)
        assert [line.split()[1 + (width > 60)] for line in found] == ["13", "7", "3"]
        assert all(line.endswith(("missing.crt", "site.key", r"e\u0301.pem")) for line in found)
        assert r"中[bold]e\u0301.pem" in found[2]
        screen.keys("q")
        screen.shows(f"{TOTAL} events of ")
        assert not screen.other_screen


def test_keys_filter_sort_pause_and_open_a_row(screen, recording):
    """As a user presses them."""
    screen.run(f"{TOP} --replay {recording} --speed 4096x --view files")
    screen.shows("end of the recording")
    screen.keys("/")
    screen.type("SITE")
    lines = screen.shows("/site")
    screen.until(lambda lines: len(rows(lines)) == 1, "one row is left")
    screen.keys("Enter")
    screen.shows("filter: site")
    screen.keys("Enter")
    lines = screen.shows("last event")
    assert any(re.match(r" +opened 7$", line) for line in lines)
    screen.keys("Escape")
    screen.shows("filter: site")
    screen.keys("Escape")
    screen.until(lambda lines: len(rows(lines)) == len(OPENS), "all rows again")
    screen.keys("I")
    screen.until(lambda lines: [row.split()[2] for row in rows(lines)] == ["3", "7", "13"], "the other order")
    screen.shows("OPENS▲")
    screen.keys("F6")
    screen.shows("FAILED▼")
    screen.keys("?")
    screen.shows("filter as you type")
    screen.keys("Escape")
    screen.keys("Space")
    screen.shows("PAUSED")
    screen.keys("1", "End")
    screen.shows(f"{TOTAL}/{TOTAL}")
    screen.keys("PPage", "Home", "Down", "Down")
    screen.shows(f"3/{TOTAL}")
    screen.keys("q")
    screen.shows(f"{TOTAL} events of ")


def resized(height):
    """Whether a screen has its new size, and the third of thirteen rows is chosen."""

    def done(lines):
        shown = rows(lines)
        expected = min(13, height - (5 if height >= 8 else 2))
        right = all("missing.crt" in line for line in shown)
        return len(lines) == height and len(shown) == expected and right and " 3/13" in lines[-1]

    return done


def test_resize_keeps_the_state(screen, recording):
    """View, filter and the chosen row are the same on a smaller screen, and on a larger one."""
    screen.run(f"{TOP} --replay {recording} --speed 4096x")
    screen.shows("end of the recording")
    screen.keys("/")
    screen.type("missing")
    screen.keys("Enter", "Down", "Down")
    screen.shows("3/13 of ")
    for width, height in ((60, 12), (160, 40), (40, 6), (100, 30)):
        screen.resize(width, height)
        screen.until(resized(height), f"{width}x{height}")
    screen.keys("q")
    screen.shows(f"{TOTAL} events of ")


def end_by_key(screen, pid):
    screen.keys("q")


def end_by_signal(signum):
    def end(screen, pid):
        os.kill(pid, signum)

    return end


def end_by_ctrl_c(screen, pid):
    screen.keys("C-c")


def stop_and_go_on(screen, pid):
    """Ctrl-Z, a look at the shell, fg; then q."""
    screen.keys("C-z")
    screen.shows("Stopped")
    assert not screen.other_screen
    assert screen.has_cursor
    screen.run("stty -g > stopped.txt")
    screen.run("fg")
    screen.until(lambda lines: screen.other_screen, "the table is back")
    screen.shows("Events")
    screen.keys("q")


def stop_hard_and_go_on(screen, pid):
    """SIGSTOP gives no chance to clean up, and the shell sets modes of its own; SIGCONT sets all anew."""
    os.kill(pid, signal.SIGSTOP)
    screen.shows("Stopped")
    screen.run("clear; fg")
    screen.shows("Events")
    screen.keys("2")
    screen.shows("EVENTS▼")
    screen.keys("q")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (end_by_key, 0),
        (end_by_ctrl_c, 130),
        (end_by_signal(signal.SIGTERM), 143),
        (end_by_signal(signal.SIGHUP), 129),
        (end_by_signal(signal.SIGQUIT), 131),
        (stop_and_go_on, 0),
        (stop_hard_and_go_on, 0),
    ],
    ids=["q", "ctrl-c", "SIGTERM", "SIGHUP", "SIGQUIT", "ctrl-z", "SIGSTOP"],
)
def test_terminal_is_as_before_after_each_end(screen, tmp_path, recording, end, code):
    """Modes, screen, cursor; and the shell still shows what is typed."""
    screen.run(f"cd {tmp_path}; ulimit -c 0; stty -g > before.txt; export PYTHONPATH={ROOT}")
    screen.run(f"{TOP} --replay {recording}")
    screen.shows("Events")
    pid = child_of_shell(tmp_path)
    end(screen, pid)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "its end")
    screen.run("echo code=$? > code.txt; stty -g > after.txt")
    wait_until(lambda: (tmp_path / "after.txt").exists() and (tmp_path / "after.txt").read_text(), "the shell is back")
    assert (tmp_path / "after.txt").read_text() == (tmp_path / "before.txt").read_text()
    if end is stop_and_go_on:
        assert (tmp_path / "stopped.txt").read_text() == (tmp_path / "before.txt").read_text()
    assert (tmp_path / "code.txt").read_text() == f"code={code}\n"
    assert not screen.other_screen
    assert screen.has_cursor
    screen.run("echo a-word-$((40 + 2))")
    screen.shows("a-word-42")
    assert f"{PROMPT}echo a-word-" in screen.text


def child_of_shell(folder):
    """The tracer that runs in a test's folder."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(folder):
                if b"tracer\0top" in Path(f"/proc/{entry}/cmdline").read_bytes():
                    return int(entry)
        except OSError:
            continue
    raise AssertionError("no tracer runs here")


def test_terminal_is_as_before_after_a_crash(screen, tmp_path, recording):
    """A mistake of ours is told on a screen that can be read."""
    code = "import tracer.live.app as a; a.draw = lambda *x: 1 // 0; from tracer.cli import main; main()"
    screen.run("stty -g > " + str(tmp_path / "before.txt"))
    screen.run(f'{sys.executable} -c "{code}" top --replay {recording}; stty -g > {tmp_path / "after.txt"}')
    screen.shows("ZeroDivisionError")
    wait_until(lambda: (tmp_path / "after.txt").exists() and (tmp_path / "after.txt").read_text(), "the shell is back")
    assert (tmp_path / "after.txt").read_text() == (tmp_path / "before.txt").read_text()
    assert not screen.other_screen
    assert screen.has_cursor


def test_events_are_counted_exactly_while_they_are_drawn(tmp_path):
    """Five thousand a second for three seconds, on a large screen: none is lost, and all are in the table."""
    with paced_opens(str(tmp_path / "missing.pem"), 5000, 3) as workload, Screen(tmp_path, 200, 50) as screen:
        screen.run(f"{TOP} --pid {workload.pid}")
        screen.shows("no event yet")
        done = int(workload.go().split()[0])
        # The process has ended, so the table does as well.
        screen.shows(f"process {workload.pid} ended")
        lines = screen.shows(" lost")
        said = next(line for line in lines if " lost" in line)
        assert re.match(rf"crypto-tracer: {done + 1} events in .* s, 0 lost$", said)  # its end is one, too


def test_view_of_losses_names_the_probes(screen):
    """With what the kernel counts, and what was said on stderr, which comes out at the end as well."""
    with Workload("sys.stdin.read()") as workload:
        screen.run(f"{TOP} --pid {workload.pid} --view losses")
        lines = screen.shows("file_open")
        assert any(re.match(r"probe +file_open +on", line) for line in lines)
        screen.until(lambda lines: any(re.match(r"message .*ready \(", line) for line in lines), "the message")
        screen.keys("q")
        screen.shows("crypto-tracer: ready (")
        screen.shows("0 lost")


def test_replay_takes_its_time_and_can_be_hurried(screen, tmp_path):
    """At a sixteenth of the speed nothing comes soon; + doubles it until all is there."""
    path = tmp_path / "slow.rec"
    with (
        paced_opens(str(tmp_path / "missing.pem"), 20, 2) as workload,
        Tracer("--pid", str(workload.pid), "--record", str(path)) as tracer,
    ):
        assert int(workload.go().split()[0]) > 1
        tracer.wait()
    screen.run(f"{TOP} --replay {path} --speed 0.0625x")
    screen.shows("replay 0.0625x")
    screen.keys("p")
    screen.shows("PAUSED")
    screen.keys("p", *["+"] * 12)
    screen.shows("end of the recording")
    screen.keys("q")
    screen.shows("events of ")


def test_picture_of_a_recording_without_a_terminal(tmp_path, recording):
    """As large as COLUMNS and LINES say."""
    path = tmp_path / "top.svg"
    environ = {**os.environ, "COLUMNS": "90", "LINES": "12"}
    options = ("--replay", str(recording), "--view", "files", "--export-svg", str(path))
    done = run_any("top", *options, env=environ)
    assert (done.returncode, done.stdout) == (0, "")
    words = "".join(ET.parse(path).getroot().itertext())
    assert "site.key" in words
    assert "OPENS" in words
    assert path.read_bytes().isascii()


def test_picture_of_the_screen_at_a_key_and_at_the_end(screen, tmp_path, recording):
    """What was on the screen when it was left."""
    path = tmp_path / "top.svg"
    screen.run(f"{TOP} --replay {recording} --speed 4096x --export-svg {path}")
    screen.shows("end of the recording")
    screen.keys("S")
    screen.shows("written: ")
    assert "TIME" in path.read_text()
    screen.keys("3")
    screen.shows("OPENS▼")
    screen.keys("q")
    screen.shows("events of ")
    wait_until(lambda: "OPENS" in path.read_text(), "the other view")


@pytest.mark.parametrize(("command", "environ"), [("top", {}), ("monitor --live", {}), ("top", {"TERM": "xterm"})])
def test_without_a_terminal_there_are_lines(recording, command, environ):
    """And it says so."""
    done = run_any(*command.split(), "--replay", str(recording), env={**os.environ, **environ})
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == TOTAL
    assert "here are lines instead" in done.stderr


def test_dumb_terminal_gets_lines(tmp_path, recording):
    """It could not be drawn on."""
    with Screen(tmp_path, 100, 30, TERM="dumb") as screen:
        screen.run(f"{TOP} --replay {recording}; echo the-end")
        lines = screen.until(lambda lines: "the-end" in lines, "it ends by itself")
        assert not screen.other_screen
        assert any('"event_type":"file_open"' in line for line in lines)


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_honoured(tmp_path, recording, environ, coloured):
    """The letters are there all the same."""
    with Screen(tmp_path, 100, 30, **environ) as screen:
        screen.run(f"{TOP} --replay {recording} --speed 4096x --view files")
        screen.shows("end of the recording")
        screen.until(lambda lines: len(rows(lines)) == len(OPENS), "the rows")
        assert bool(re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7])[;m]", screen.styled)) is coloured
        assert [row[0] for row in rows(screen.lines)] == ["C", "P", "C"]
        screen.keys("q")
        screen.shows("events of ")


def test_screen_of_ascii_shows_ascii(tmp_path, recording):
    """In the locale C, bars and arrows are others."""
    with Screen(tmp_path, 100, 30, LC_ALL="C") as screen:
        screen.run(f"{TOP} --replay {recording} --speed 4096x --view files")
        screen.shows("end of the recording")
        lines = screen.shows("OPENSv")
        assert "\n".join(lines).isascii()
        screen.keys("q")
        screen.shows("events of ")


def test_lines_go_to_a_file_beside_the_table(screen, tmp_path, recording):
    """With --output."""
    path = tmp_path / "events.jsonl"
    screen.run(f"{TOP} --replay {recording} --speed 4096x -o {path}")
    screen.shows("end of the recording")
    screen.keys("q")
    screen.shows("events of ")
    assert len(path.read_text().splitlines()) == TOTAL
