"""All formats: whatever is in a name, it comes back from what was written, by other parsers than our own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gates import require_tool
from tests.unit.tracer import events
from tracer.model import KINDS
from tracer.sinks import SINKS, is_document, make_sink
from tracer.sinks.output import open_output
from tracer.sinks.table import COLUMNS, cell, parse_cell

HOSTILE = [
    os.fsdecode(name)
    for name in (
        b"/tmp/new\nline\r\n.pem",
        b"/tmp/\x1b]0;owned\x07\x1b[2J.pem",
        b"/tmp/\xff\xfe\x80.pem",
        b'/tmp/quote"back\\slash,comma;.pem',
        b"=cmd|' /C calc'!A0.pem",
        b"+1.pem",
        b"@x.pem",
        b"  spaces  .pem ",
        "/tmp/Schlüssel-鍵-\u2028-\U0001f511.pem".encode(),
        b"\x7f\xc2\x85tab\tdel.pem",
        b"x" * 251 + b".pem",
        b"/" + b"d" * 250 + b"/" + b"./" * 1920 + b".pem",
        b"\\u0041.pem",
        b"null",
        b"",
    )
]


def never():
    return False


def all_events(names):
    """One of each kind for each name."""
    found = []
    for name in names:
        extra = {"exe": name, "container": None, "file_type": "certificate"}
        extra.update(library_name="libssl", family="OpenSSL", version=None, build_id=None)
        found.append(events.file_open(name, result=2, comm=name[:15], **extra))
        found.append(events.process_exec("cat", name, comm="cat", **extra))
        found.append(events.process_exit(signal=9, **extra))
        found.append(events.lib_load(name, **extra))
        found.append(events.lib_open(name, **extra))
    return found


def written(tmp_path, format, some):
    path = tmp_path / f"out.{format}"
    with open_output(str(path), never, document=is_document(format)) as output, make_sink(format, output) as sink:
        for event in some:
            sink.write(event)
        sink.flush()
        sink.flush()
        assert sink.written == len(some)
    return path.read_bytes()


def parsed(format, raw):
    """By Python's own parsers."""
    text = raw.decode("ascii")
    if format == "json-array":
        return json.loads(text)
    if format == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    decoder, at, found = json.JSONDecoder(), 0, []
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


JSON = [name for name in SINKS if name.startswith("json")]


@pytest.mark.parametrize("format", JSON[1:])
def test_json_gives_hostile_names_back_to_python(tmp_path, format):
    """Byte for byte, in the members that they were in; all formats say the same."""
    some = all_events(HOSTILE)
    found = parsed(format, written(tmp_path, format, some))
    assert [event["event_type"] for event in found] == [event.kind.name for event in some]
    assert [event["file"] for event in found if "file" in event] == HOSTILE
    assert [event["exe"] for event in found][::5] == HOSTILE
    assert found == parsed("json-stream", written(tmp_path, "json-stream", some))


@pytest.mark.parametrize("format", JSON)
def test_json_gives_hostile_names_back_to_jq(tmp_path, format):
    """Jq has no lone surrogates: it gives U+FFFD for the bytes that are no UTF-8, and the rest unchanged."""
    jq = require_tool("jq")
    raw = written(tmp_path, format, all_events(HOSTILE))
    query = "[.. | .file? // empty]" if format == "json-array" else "[inputs | .. | .file? // empty]"
    options = ["-c"] if format == "json-array" else ["-c", "-n"]
    done = subprocess.run([jq, *options, query], input=raw, capture_output=True, check=True)
    replaced = ["".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in name) for name in HOSTILE]
    assert json.loads(done.stdout) == replaced


def test_csv_gives_hostile_names_back(tmp_path):
    """Each event is one line; no cell is a formula; nothing unprintable is in it."""
    some = all_events(HOSTILE)
    raw = written(tmp_path, "csv", some)
    assert raw.replace(b"\n", b"").decode("ascii").isprintable()
    assert raw.count(b"\n") == len(some) + 1
    rows = parsed("csv", raw)
    assert [parse_cell(row["file"]) for row in rows if row["event_type"] == "file_open"] == HOSTILE
    assert [parse_cell(row["exe"]) for row in rows][::5] == HOSTILE
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    assert {row["core_dumped"] for row in rows} == {"", "false"}


@given(st.binary(max_size=40))
def test_cell_gives_any_bytes_back(raw):
    """Through a reader of CSV."""
    text = raw.decode("utf-8", "surrogateescape")
    ((found, last),) = csv.reader(io.StringIO(cell(text) + ",x\n", newline=""))
    assert (parse_cell(found), last) == (text, "x")


def test_csv_has_a_column_for_each_value_that_any_kind_has():
    """In an order that stays when kinds are appended."""
    assert set(COLUMNS) == {"event_type"} | {c.name for kind in KINDS if not kind.hidden for c in kind.columns}


def test_csv_that_is_gone_on_with_has_one_head(tmp_path):
    """Appended to, as lines are."""
    some = [events.process_exit(exe=None, container=None)]
    written(tmp_path, "csv", some)
    lines = written(tmp_path, "csv", some).decode().splitlines()
    assert len(lines) == 3
    assert [line.startswith("event_type,") for line in lines] == [True, False, False]


def test_array_of_nothing_is_an_array(tmp_path):
    """And an array replaces the one before."""
    assert parsed("json-array", written(tmp_path, "json-array", all_events(["x"])))
    assert parsed("json-array", written(tmp_path, "json-array", [])) == []


def test_summary_counts_and_escapes(tmp_path):
    """Text for people: no name can move the cursor."""
    some = all_events(HOSTILE[:3]) + [events.file_open("/x.pem", exe=None, file_type="certificate")] * 7
    text = written(tmp_path, "summary", some).decode("ascii")
    assert text.startswith("22 events\n")
    assert text.replace("\n", "").isprintable()
    assert "      10  file_open\n" in text
    assert "       7  certificate  /x.pem\n" in text
    assert "       1  ENOENT  /tmp/new\\nline\\r\\n.pem  /tmp/new\\nline\\r\\n" in text


def test_summary_of_many_names_is_short(tmp_path):
    """It says how many it leaves out."""
    some = [events.file_open(f"/{n}.pem", exe=None, file_type="certificate") for n in range(50)]
    text = written(tmp_path, "summary", some).decode("ascii")
    assert "and 30 more" in text
    assert len(text.splitlines()) < 40


def test_csv_list_is_its_json():
    """It comes back by the two steps that the page names."""
    value = ["=x", 'a,"b"', "\n", "\udcff"]
    text = next(csv.reader(io.StringIO(cell(value), newline="")))[0]
    assert json.loads(parse_cell(text)) == value
    assert cell([]) == "[]"
