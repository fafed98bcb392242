"""Outputs of tests against the JSON Schema that the program prints."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tracer.schema import schema


@cache
def validator(name: str) -> Draft202012Validator:
    """For a kind of event or document; whatever is printed for ""."""
    found = schema()
    Draft202012Validator.check_schema(found)
    if name:
        assert name in found["$defs"], f"the schema knows no {name}"
        found = {"$schema": found["$schema"], "$defs": found["$defs"], "$ref": f"#/$defs/{name}"}
    return Draft202012Validator(found)


def check_event(event: dict[str, Any]) -> None:
    """An event is as the schema says, and has no member that it does not know."""
    name = event["event_type"]
    validator(name).validate(event)
    assert list(event) == list(schema_of(name)["properties"])


@cache
def schema_of(name: str) -> dict[str, Any]:
    """The definition of one kind."""
    found: dict[str, Any] = schema()["$defs"][name]
    return found


def check_document(name: str, document: dict[str, Any]) -> None:
    """A document is as the schema says, with all members in their order and no others."""
    validator(name).validate(document)
    _same_members(schema_of(name), document, name)


def _same_members(definition: dict[str, Any], value: Any, where: str) -> None:
    if isinstance(value, dict):
        assert list(value) == list(definition["properties"]), where
        for name, member in value.items():
            _same_members(definition["properties"][name], member, f"{where}.{name}")
    elif isinstance(value, list):
        for member in value:
            _same_members(definition["items"], member, f"{where}[]")
