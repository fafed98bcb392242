"""What the probes ask of their objects is what the objects have."""

from __future__ import annotations

import pytest

import pybpfload
from tracer import objects
from tracer.catalog.filetypes import DIRECTORIES, patterns
from tracer.model import KIND_BY_NAME
from tracer.probes import PROBES
from tracer.probes.file_open import FILE_OPEN
from tracer.settings import Settings

SETTINGS = Settings(own_pid=99, pid=7)


def spec_of(probe, machine="x86_64"):
    return pybpfload.read_object(objects.read(probe.object_name, machine=machine), name=probe.object_name)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_knobs_of_a_probe_are_variables_of_its_object(probe, machine):
    """All of them, and each takes its value."""
    spec = spec_of(probe, machine)
    for name, value in probe.knobs(SETTINGS).items():
        spec.variables[name] = value
        assert spec.variables[name] == value


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_probe_has_a_kind_of_event(probe):
    """What it sends can be shown; it has a ring buffer if it sends anything."""
    assert set(probe.kinds) <= set(KIND_BY_NAME)
    assert bool(probe.kinds) == probe.sends == ("events" in spec_of(probe).maps)


def test_each_kind_of_event_has_one_probe():
    """None without, none with two; what was there before comes from /proc."""
    kinds = [kind for probe in PROBES for kind in probe.kinds]
    assert sorted([*kinds, "lib_present", "ssh_handshake"]) == sorted(KIND_BY_NAME)


class Table:
    """A map of the kernel, whose keys are structs."""

    def __init__(self):
        self.entries = {}

    def update(self, entries):
        for key, value in entries:
            self.entries[tuple(sorted(key.items()))] = value


def test_file_open_fills_its_tables_from_the_catalog():
    """Every pattern and every directory, once, and nothing else."""
    maps = {"patterns": Table(), "directories": Table()}
    FILE_OPEN.targets(maps)
    texts = [dict(key)["text"].decode() for key in maps["patterns"].entries]
    assert texts == patterns()
    paths = [dict(key) for key in maps["directories"].entries]
    assert [key["path"].decode() for key in paths] == list(DIRECTORIES)
    assert all(key["prefixlen"] == 8 * len(key["path"]) for key in paths)
    assert all(maps[name].entries.values() for name in maps)


def test_file_open_tables_have_room_for_the_catalog():
    """The sizes in C are enough."""
    spec = spec_of(FILE_OPEN)
    assert len(patterns()) <= spec.maps["patterns"].max_entries
    assert len(DIRECTORIES) <= spec.maps["directories"].max_entries
