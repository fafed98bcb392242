"""The JSON Schema: true of what is printed, and false of what is not."""

from __future__ import annotations

import json

import pytest
from jsonschema import ValidationError

from tests.support.schemas import check_event, validator
from tests.unit.tracer import events
from tracer.cli import main
from tracer.documents import DOCUMENTS, Member
from tracer.model import KINDS
from tracer.sinks.values import event_values

EXTRA = {
    "exe": None,
    "container": None,
    "file_type": "certificate",
    "library_name": "libssl",
    "family": "OpenSSL",
    "version": None,
    "build_id": None,
}
VISIBLE = [kind for kind in KINDS if not kind.hidden]


def values(kind):
    event = getattr(events, kind.name)()
    event.fields.update((name, value) for name, value in EXTRA.items() if name not in event.fields)
    return json.loads(json.dumps(event_values(event)))


@pytest.mark.parametrize("kind", VISIBLE, ids=lambda kind: kind.name)
def test_event_is_valid(kind):
    """By its own definition, and by the schema as a whole, alone and in an array."""
    event = values(kind)
    check_event(event)
    validator("").validate(event)
    validator("").validate([event, event])


@pytest.mark.parametrize("kind", VISIBLE, ids=lambda kind: kind.name)
def test_event_with_a_mistake_is_not_valid(kind):
    """A member less, a wrong type, another name, a time that is none."""
    for change in ({"pid": "7"}, {"pid": -1}, {"event_type": "x"}, {"timestamp": "yesterday"}, {"process": None}):
        with pytest.raises(ValidationError):
            validator("").validate({**values(kind), **change})
    for name in values(kind):
        with pytest.raises(ValidationError):
            validator("").validate({key: value for key, value in values(kind).items() if key != name})


def test_schema_command_prints_the_schema(capfd, tmp_path):
    """On stdout, or into a file."""
    assert main(["schema"]) == 0
    text = capfd.readouterr().out
    assert main(["schema", "-o", str(tmp_path / "x")]) == 0
    assert (tmp_path / "x").read_text() == text
    assert set(json.loads(text)["$defs"]) == {
        "event",
        *(kind.name for kind in VISIBLE),
        *(document.name for document in DOCUMENTS),
    }


def all_members(members):
    for member in members:
        yield member
        yield from all_members(member.members)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_document_is_described_by_sentences_and_has_no_member_twice(document):
    """The page is made of these."""
    assert all(
        isinstance(member, Member) and member.doc.endswith((".", "...")) for member in all_members(document.members)
    )
    names = [member.name for member in document.members]
    assert len(set(names)) == len(names)
