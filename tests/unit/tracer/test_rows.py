"""Records as rows: what is taken, and what is refused as it comes."""

from __future__ import annotations

import pytest

from pybpfload.errors import RecordError
from tests.unit.tracer import records

# The kind and the process.
KIND = b"\1\0\0\0\x67\x12\0\0"


def test_records_that_follow_each_other_become_rows():
    """With what a ring has between them."""
    found = [records.raw("file_open", b"%d.pem\0" % i, time=100 - i, result=i) for i in range(5)]
    size = len(found[0])
    stride = size + 8 + 7 & ~7
    data = memoryview(b"".join((b"\xaa" * 8 + each).ljust(stride, b"\xbb") for each in found))
    rows = records.decoder().rows.read_many(data, 0, 5, stride=stride, size=size, skip=8)
    assert rows == [(100 - i, each[8:]) for i, each in enumerate(found)]
    assert [records.decoder().event(row).fields["path"] for row in rows] == [f"{i}.pem" for i in range(5)]


def test_event_of_a_row_is_that_of_its_record():
    """And knows the record."""
    raw = records.raw("process_exit", exit_code=7)
    (row,) = records.decoder().rows.read_many(raw, 0, 1, size=len(raw))
    event = records.decoder().event(row)
    assert event.fields == records.decoder().read(raw, 0, len(raw)).fields
    assert event.record == raw[8:]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(20),
        records.raw("process_exit")[:-1],
        records.raw("file_open", b"x\0")[:60],
        records.raw("file_open", b"x\0").replace(KIND, bytes([99, 0, 0, 0]) + KIND[4:], 1),
    ],
)
def test_record_of_another_form_is_refused(raw):
    """At once, so that it is counted as not readable; the others of its run are not lost with it."""
    with pytest.raises(RecordError):
        records.decoder().rows.read(raw, 0, len(raw))
    good = records.raw("process_exit")
    both = good.ljust(200, b"\0") + raw.ljust(200, b"\0")
    with pytest.raises(RecordError):
        records.decoder().rows.read_many(both, 0, 2, stride=200, size=max(len(raw), 1))


def test_text_is_taken_out_of_a_record():
    """All that a field is made of, and nothing else."""
    event = records.decoder().event(records.opened(b"/srv/a.pem"))
    assert b"a.pem" in event.record
    for fields in (["path"], ["file_path"], ["path", "file_path"]):
        bare = records.decoder().without(event, fields)
        assert b"a.pem" not in bare
        assert len(bare) == len(event.record)
        again = records.decoder().event((5, bare)).fields
        assert (again["path"], again["file_path"], again["pid"], again["comm"]) == ("", None, 4711, "cat")
    assert records.decoder().without(event, ["pid", "flags"]) == event.record
    assert records.decoder().event((5, records.decoder().without(event, ["comm"]))).fields["comm"] == ""
