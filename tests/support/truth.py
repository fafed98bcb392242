"""What strace says that a command did, beside what the tracer says."""

from __future__ import annotations

import errno
import re
import shlex
import subprocess
from typing import NamedTuple

from tests.support.gates import require_tool
from tests.support.workloads import DEADLINE_S, Tracer, of_kind
from tracer.catalog.filetypes import file_type
from tracer.catalog.libraries import find_library

CALLS = "open,openat,openat2,creat,mmap,execve,exit_group"
LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (.*)")
STRING = r'"((?:[^"\\]|\\.)*)"'


class Truth(NamedTuple):
    """What strace saw.

    Attributes:
        opens: pid, name as it was given, errno; of files that the catalog knows.
        libraries: pid and path of executable mappings, of those that the catalog knows.
        execs: pid and arguments.
        exits: pid and exit code.
    """

    opens: list[tuple[int, str, int]]
    libraries: list[tuple[int, str]]
    execs: list[tuple[int, list[str]]]
    exits: dict[int, int]


def unescape(text: str) -> str:
    return text.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")


def whole_lines(text: str):
    """The calls, each in a line: strace breaks those off during which another process did something."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith(" <unfinished ...>"):
            begun[pid] = line.removesuffix(" <unfinished ...>")
            continue
        resumed = re.match(r" *<\.\.\. \w+ resumed>(.*)", rest)
        yield begun.pop(pid, "") + resumed[1] if resumed else line


def read_truth(text: str) -> Truth:
    truth = Truth([], [], [], {})
    for line in whole_lines(text):
        exited = re.match(r"(\d+) +\+\+\+ exited with (\d+)", line)
        if exited:
            truth.exits[int(exited[1])] = int(exited[2])
        found = LINE.match(line)
        if not found:
            continue
        pid, call, arguments, result = int(found[1]), found[2], found[3], found[4]
        strings = [unescape(each) for each in re.findall(STRING, arguments)]
        if call.startswith(("open", "creat")) and file_type(strings[0]):
            failed = re.match(r"-1 (E\w+)", result)
            truth.opens.append((pid, strings[0], getattr(errno, failed[1]) if failed else 0))
        elif call == "mmap" and "PROT_EXEC" in arguments and "<" in arguments and not result.startswith("-1"):
            path = re.search(r"\d+<([^>]*)>", arguments)[1]
            if find_library(path):
                truth.libraries.append((pid, path))
        elif call == "execve" and result == "0":
            truth.execs.append((pid, strings[1:]))
    return truth


def watch(tmp_path, command, **options):
    """Runs a command under strace and the tracer: the truth, and the events of its processes."""
    log = tmp_path / "strace"
    full = [
        require_tool("strace"),
        "-f",
        "--seccomp-bpf",
        "-y",
        "-s",
        "9999",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
        *command,
    ]
    with Tracer("--no-redact") as tracer:
        subprocess.run(full, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False, **options)
        assert tracer.stop() == 130
        truth = read_truth(log.read_text())
        assert tracer.stderr[-1].endswith(", 0 lost")
        return truth, tracer.events(*{pid for pid, _ in truth.execs}, *truth.exits)


def compare(truth, events):
    """All four: differences are failures."""
    opened = [(event["pid"], event["file"], event["result"]) for event in of_kind(events, "file_open")]
    assert sorted(opened) == sorted(truth.opens)
    loaded = [(event["pid"], event["library"]) for event in of_kind(events, "lib_load")]
    assert sorted(loaded) == sorted(truth.libraries)
    executed = [(event["pid"], shlex.split(event["cmdline"])) for event in of_kind(events, "process_exec")]
    assert [each for each in executed if each[1][0] != require_tool("strace")] == truth.execs
    exited = {event["pid"]: event["exit_code"] for event in of_kind(events, "process_exit")}
    assert exited == truth.exits
