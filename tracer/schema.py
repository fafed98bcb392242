# SPDX-License-Identifier: MIT
"""The JSON Schema (draft 2020-12) of all that is printed, from the tables of events and documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracer.documents import DOCUMENTS, OBJECT, Document, Member
from tracer.model import ARRAY, INTEGER, KINDS, STRING, Column, EventKind

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"
# Integers that may be below zero: what a function returned.
_SIGNED = ("result",)
_TIMES = ("timestamp", "generated_at", "start_time", "load_time", "first_access", "last_access")


def schema() -> dict[str, Any]:
    """All: an event, an array of events, or a document."""
    kinds = [kind for kind in KINDS if not kind.hidden]
    definitions = {kind.name: _kind(kind) for kind in kinds}
    definitions["event"] = {"oneOf": [{"$ref": f"#/$defs/{kind.name}"} for kind in kinds]}
    definitions.update((document.name, _document(document)) for document in DOCUMENTS)
    references = [{"$ref": "#/$defs/event"}, {"type": "array", "items": {"$ref": "#/$defs/event"}}]
    references += [{"$ref": f"#/$defs/{document.name}"} for document in DOCUMENTS]
    return {
        "$schema": DIALECT,
        "title": "Output of crypto-tracer",
        "description": "A line of json-stream, all of json-array, or a document.",
        "oneOf": references,
        "$defs": definitions,
    }


def _kind(kind: EventKind) -> dict[str, Any]:
    found = _object(kind.doc, kind.columns)
    found["properties"] = {"event_type": {"const": kind.name}, **found["properties"]}
    found["required"].insert(0, "event_type")
    return found


def _document(document: Document) -> dict[str, Any]:
    return _object(document.doc, document.members)


def _object(doc: str, members: Iterable[Column | Member]) -> dict[str, Any]:
    """An object whose members are all there; others may be added one day."""
    members = list(members)
    return {
        "type": OBJECT,
        "description": doc,
        "properties": {member.name: _member(member) for member in members},
        "required": [member.name for member in members],
    }


def _member(member: Column | Member) -> dict[str, Any]:
    found: dict[str, Any] = {"type": member.type, "description": member.doc}
    if isinstance(member, Member):
        if member.type == OBJECT:
            found = _object(member.doc, member.members)
        elif member.type == ARRAY:
            inside = {"type": member.items} if member.items else _object("One of them.", member.members)
            found["items"] = inside
    elif member.type == ARRAY:
        found["items"] = {"type": STRING}
    if member.type == INTEGER and member.name not in _SIGNED:
        found["minimum"] = 0
    if member.name in _TIMES:
        found["pattern"] = _TIME
    if member.nullable:
        found["type"] = [member.type, "null"]
    return found
