"""Names that nobody should trust: through every format, and back by parsers that are not ours.

One process does it all, and is traced once; the formats are made of the recording. It also shakes hands with itself,
so that there are events of each kind.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections import Counter

import pytest

from tests.support.gates import require_tool
from tests.support.runs import run_tracer
from tests.support.schemas import check_document, check_event
from tests.support.workloads import Tracer, Workload, of_kind, parse_lines
from tracer.model import KIND_BY_NAME
from tracer.sinks.table import COLUMNS, parse_cell

pytestmark = pytest.mark.kernel

NAMES = [
    b"new\nline\r\n\t.pem",
    b"\x1b]0;owned\x07\x1b[2J\x9b31m.key",
    b"\xff\xfe\x80.pem",
    b"cut \xe4\xbd.pem",
    b"quote\"back\\slash,comma;'.pem",
    b"=cmd|' /C calc'!A0.pem",
    b"\x7f\x01\x02.pem",
    b"{{}}'''%s$(id)`id`.pem",
    b"-rf.pem",
    b"x" * 251 + b".pem",
    "Schlüssel-鍵-\u2028\u202e\ufeff\U0001f511.pem".encode(),
    b"\xed\xb3\xbf.pem",
]
COMM = b"a\n\x1b[1m\"\\\xff'\xc3"
ARGUMENTS = [b"a\nb", b"\x1b[2J", b"\xff", b"", b'"\\', b"x" * 300]

CODE = """
import ssl, tempfile
directory, program, cert = (bytes.fromhex(text) for text in sys.argv[1:4])
names, arguments = ([bytes.fromhex(name) for name in text.split(",")] for text in sys.argv[4:6])
with open("/proc/self/comm", "wb") as comm:
    comm.write(bytes.fromhex(sys.argv[6]))
for name in names:
    try:
        os.open(name if name.startswith(b"/") else directory + b"/" + name, os.O_RDONLY)
    except OSError:
        pass
ends = []
for side in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if side == ssl.PROTOCOL_TLS_SERVER:
        context.load_cert_chain(cert)
    ends.append(context)
pipes = ssl.MemoryBIO(), ssl.MemoryBIO()
sides = [ends[0].wrap_bio(*pipes, server_side=True), ends[1].wrap_bio(*pipes[::-1])]
done = set()
while len(done) < 2:
    for side in sides:
        try:
            side.do_handshake()
            done.add(side)
        except ssl.SSLWantReadError:
            pass
os.execv(program, arguments)
"""


def long_path(size):
    """A path of so many bytes, all of which are needed to write it, if not to find it."""
    return b"/" * (size - 10) + b"tmp/yy.pem"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Some of the names are there, some are not."""
    found = tmp_path_factory.mktemp("hostile")
    for name in NAMES[::2]:
        os.close(os.open(os.fsencode(found) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    return found


@pytest.fixture(scope="module")
def trace(folder, tmp_path_factory):
    """The events as lines, and the recording of the same run."""
    out = tmp_path_factory.mktemp("out")
    cert = out / "pair.pem"
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-nodes", "-newkey", "ec",
         "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=x",
         "-keyout", out / "key.pem", "-out", out / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    cert.write_text((out / "key.pem").read_text() + (out / "cert.pem").read_text())
    program = os.fsencode(out) + b"/\x1b[5m\xff program\n"
    shutil.copy("/bin/true", program)
    names = [*NAMES, long_path(4095), long_path(4096)]
    told = (os.fsencode(folder).hex(), program.hex(), os.fsencode(cert).hex())
    lists = [",".join(name.hex() for name in each) for each in (names, ARGUMENTS)]
    recording = out / "x.rec"
    with Workload(CODE, *told, *lists, COMM.hex()) as workload:
        pid = workload.pid
        with Tracer("-p", str(pid), "--no-redact", "--record", str(recording)) as tracer:
            workload.go()
            assert tracer.wait() == 0
            events = tracer.events()
    return events, str(recording), program


def replayed(trace, command="monitor", *arguments):
    return run_tracer(command, "-q", "--no-redact", "--replay", trace[1], *arguments)


def bare(text):
    """No character that a terminal acts upon, but for line feeds."""
    return text.isascii() and text.replace("\n", "").isprintable()


def test_hostile_names_come_from_the_kernel_byte_for_byte(trace, folder):
    """Of files, threads, programs and arguments."""
    events, _, program = trace
    files = [os.fsencode(event["file"]) for event in of_kind(events, "file_open")]
    wanted = [os.fsencode(folder) + b"/" + name for name in NAMES]
    assert [file for file in files if file in wanted] == wanted
    assert long_path(4095) in files
    assert {os.fsencode(e["process"]) for e in of_kind(events, "file_open") if e["file"].endswith("-rf.pem")} == {COMM}
    (executed,) = of_kind(events, "process_exec")
    assert os.fsencode(executed["exe"]) == program
    assert {"file_open", "lib_load", "api_call", "tls_handshake", "process_exec", "process_exit"} <= {
        event["event_type"] for event in events
    }


@pytest.mark.parametrize("shape", ["json-stream", "json-lines", "json-array", "json-pretty"])
def test_hostile_names_are_the_same_to_python_and_jq(trace, shape):
    """Jq has U+FFFD for what is no UTF-8; Python gives the bytes back."""
    text = replayed(trace, "monitor", "-f", shape)
    assert bare(text)
    if shape == "json-lines":
        assert parse_lines(text.encode()) == trace[0]
    query = ".[]" if shape == "json-array" else "."
    done = subprocess.run(
        [require_tool("jq"), "-c", query], input=text.encode("ascii"), capture_output=True, check=True
    )
    through = [json.loads(line) for line in done.stdout.decode().split("\n") if line]
    assert through == [seen_by_jq(event) for event in trace[0]]


def seen_by_jq(value):
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [seen_by_jq(each) for each in value]
    return {name: seen_by_jq(each) for name, each in value.items()} if isinstance(value, dict) else value


def test_hostile_names_in_csv_are_those_of_json(trace):
    """Every value of every event, read by Python's csv."""
    text = replayed(trace, "monitor", "-f", "csv")
    assert bare(text)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(trace[0])
    for row, event in zip(rows, trace[0]):
        assert set(row) == set(COLUMNS)
        for name, text in row.items():
            assert text[:1] not in {"=", "+", "-", "@"} or isinstance(event.get(name), int), text
            assert value_of(text, event, name) == event.get(name), name


def value_of(text, event, name):
    """What a cell says, as JSON has it."""
    value = event.get(name)
    if isinstance(value, bool):
        return {"true": True, "false": False}[text]
    if isinstance(value, int):
        return int(text)
    if isinstance(value, list):
        return json.loads(parse_cell(text))
    return parse_cell(text) if value else (text or value)


def test_summary_counts_the_same_events(trace):
    """For people: the numbers are those of JSON, and no name moves the cursor."""
    text = replayed(trace, "monitor", "-f", "summary")
    assert bare(text)
    counts = Counter(event["event_type"] for event in trace[0])
    assert text.startswith(f"{sum(counts.values())} events\n")
    table = text.partition("events:\n")[2].partition("\n\n")[0]
    found = Counter()
    for count, name, *_source in map(str.split, table.splitlines()):
        found[name] += int(count)
    assert found == counts


@pytest.mark.parametrize("shape", ["json-stream", "json-array", "json-pretty", "summary"])
def test_hostile_names_in_documents(trace, folder, shape):
    """A profile of the same events."""
    text = replayed(trace, "profile", "-f", shape)
    assert bare(text)
    if shape == "summary":
        return
    found = json.loads(text)
    document = found[0] if shape == "json-array" else found
    check_document("profile", document)
    paths = {os.fsencode(row["path"]) for row in document["files_accessed"]}
    assert {os.fsencode(folder) + b"/" + name for name in NAMES} <= paths
    assert document["statistics"]["total_events"] == len(trace[0])
    done = subprocess.run([require_tool("jq"), "-c", "."], input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == seen_by_jq(found)


def test_every_event_is_what_the_schema_says(trace):
    """Those of each kind that users see."""
    for event in trace[0]:
        check_event(event)
        assert not KIND_BY_NAME[event["event_type"]].hidden
