"""JSON lines: valid for any bytes, and exact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tracer import events
from tracer.model import KINDS
from tracer.sinks.jsonl import JsonLines, line_writer


class Kept:
    """An output that keeps its lines."""

    def __init__(self):
        self.lines, self.written = [], 0

    def write_lines(self, lines):
        self.lines += lines
        self.written += len(lines)


def line_of(event):
    event.fields.setdefault("exe", "/usr/bin/cat")
    event.fields.setdefault("file_type", "certificate")
    event.fields.setdefault("container", None)
    for name in ("library_name", "family", "version", "build_id"):
        event.fields.setdefault(name, "x")
    return line_writer(event.kind)(event.fields)


def test_file_open_line():
    """Names, order and types of a failed open."""
    line = line_of(events.file_open(result=2, exe=None))
    assert line == (
        '{"event_type":"file_open","timestamp":"2026-01-02T03:04:05.678901Z","pid":4711,"uid":1000,'
        '"process":"cat","exe":null,"file":"/etc/ssl/certs/x.pem","file_type":"certificate",'
        '"flags":"O_RDONLY|O_CLOEXEC","result":2,"error":"ENOENT",'
        '"file_path":"/etc/ssl/certs/x.pem","inode":7,"device":"254:1","mode":"0640","cgroup":4242,"container":null,'
        '"host_pid":4711,"pod":null,"pod_name":null,"container_name":null}\n'
    )


def test_process_exec_line():
    """The command line is text, and says whether it was cut."""
    fields = json.loads(line_of(events.process_exec("sh", "-c", "exit 3", argv_cut=True)))
    assert list(fields)[6:] == [
        *("ppid", "gid", "cmdline", "argv_truncated", "cgroup", "container"),
        *("host_pid", "pod", "pod_name", "container_name"),
    ]
    assert fields["cmdline"] == "sh -c 'exit 3'"
    assert fields["argv_truncated"] is True


@pytest.mark.parametrize(("signal", "dumped", "expected"), [(0, 0, (3, None, False)), (11, 1, (3, "SIGSEGV", True))])
def test_process_exit_line(signal, dumped, expected):
    """Code and signal stand apart."""
    fields = json.loads(line_of(events.process_exit(exit_code=3, signal=signal, core_dumped=dumped)))
    assert (fields["exit_code"], fields["signal"], fields["core_dumped"]) == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_line_has_the_columns_of_its_kind(kind):
    """The table of the model is what comes out."""
    event = getattr(events, kind.name)()
    assert list(json.loads(line_of(event))) == ["event_type", *[column.name for column in kind.columns]]


@given(st.binary(max_size=64))
def test_any_bytes_in_a_name_come_back(raw):
    """Bytes to text to JSON to text to bytes: nothing is lost, and the line is printable ASCII."""
    line = line_of(events.file_open(raw.decode("utf-8", "surrogateescape")))
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert json.loads(line)["file"].encode("utf-8", "surrogateescape") == raw


def test_jq_reads_hostile_names():
    """Another parser than Python's agrees that it is JSON."""
    jq = shutil.which("jq")
    if not jq:
        pytest.skip("no jq")
    name = '/tmp/\x00\x01\x1b[2J\n\r\t"\\\x7f\u0085\u2028é\U0001f511\udcff' + "x" * 4096
    done = subprocess.run(
        [jq, "-e", ".pid"], input=line_of(events.file_open(name)), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "4711\n")


def test_sink_writes_on_flush_in_order():
    """One batch, one write."""
    output = Kept()
    with JsonLines(output) as sink:
        for pid in (1, 2, 3):
            sink.write(events.process_exit(pid=pid, exe=None, container=None))
        assert output.lines == []
        sink.flush()
        sink.flush()
        assert [json.loads(line)["pid"] for line in output.lines] == [1, 2, 3]
        assert sink.written == 3


def test_name_of_255_bytes_and_path_of_4096_bytes():
    """The longest that the kernel allows."""
    path = "/" + "/".join(["ü" * 127] * 16)
    assert len(os.fsencode(path)) == 4080
    assert json.loads(line_of(events.file_open(path)))["file"] == path
