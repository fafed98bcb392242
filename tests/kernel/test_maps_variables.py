"""Global variables of loaded objects: shared memory, and what stands in for it."""

from __future__ import annotations

import os

import pytest

import pybpfload
from pybpfload.errors import RecordError
from pybpfload.features import has
from pybpfload.uapi import MapFlag
from tests.support.maps import door, load_part, run
from tests.support.needs import needs
from tests.support.objects import read

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["memory", "calls"])
def way(request, monkeypatch):
    """Through memory, and as on kernels before 5.5."""
    if request.param == "calls":
        monkeypatch.setattr("pybpfload.maps.create.has", lambda name: name != "mmapable" and has(name))
    return request.param


def test_variables_are_read_and_written(way):
    """Of .data, .bss and .rodata, typed; what is written is there for the next reader, too."""
    with load_part("maps") as obj:
        live = obj.variables
        assert (live["plain"], live["zeroed"], live["on"], live["negative"]) == (7, 0, True, -5)
        assert live["text"] == b"fixed"
        assert live["pair"].asdict() == {"count": 1, "delta": -2, "pad": 0}
        live["plain"] = 1 << 31
        live["zeroed"] += 5
        live.update(hidden=3)
        assert (live["plain"], live["zeroed"], live["hidden"]) == (1 << 31, 5, 3)
        assert bool(obj.maps[".bss"].flags & MapFlag.MMAPABLE) == (way == "memory")
        with pybpfload.maps.open_map(obj.maps[".bss"].id) as again:
            assert again[0] == (5).to_bytes(8, "little")


@needs("mmapable")
def test_variables_in_memory_take_no_system_call():
    """Once it is mapped."""

    def forbidden(*_):
        raise AssertionError("a system call")

    with load_part("maps") as obj:
        assert obj.variables["on"]
        with door(forbidden):
            obj.variables["plain"] = 8
            obj.variables["zeroed"] = 9
            assert dict(obj.variables)["plain"] == 8
            assert (obj.variables["zeroed"], obj.variables["text"]) == (9, b"fixed")


def test_program_sees_what_is_written_and_the_other_way_round(way):
    """The verifier took the code for a variable that changes."""
    with load_part("nested", "first second outer empty tails", "jumps tail_one tail_two", targ_tgid=os.getpid()) as obj:
        obj.variables["reached"] = 500_000
        with pybpfload.attach(obj.programs["jumps"]):
            os.getppid()
        assert obj.variables["reached"] >= 501_000


def test_constant_cannot_be_written_and_says_when_it_could_have_been(way):
    """It was frozen before the verifier looked."""
    with load_part("maps") as obj:
        with pytest.raises(
            RecordError, match=r"variable `on` is read-only: `\.rodata` was frozen .* set it in the spec"
        ):
            obj.variables["on"] = False
        assert obj.variables["on"] is True
        if way == "memory":
            with pytest.raises(TypeError):
                obj.maps[".rodata"].memory[0] = 0


def test_value_that_does_not_fit_is_refused():
    """By its type, before anything is written."""
    with load_part("maps") as obj:
        with pytest.raises(RecordError, match=r"variable `plain`: .* is no uint of 4 bytes"):
            obj.variables["plain"] = 1 << 32
        assert obj.variables["plain"] == 7
        with pytest.raises(KeyError, match="no variable `plane`; closest is `plain`"):
            obj.variables["plane"] = 1
        with pytest.raises(TypeError, match="cannot be deleted"):
            del obj.variables["plain"]


def test_variables_of_a_closed_object_say_so(way):
    """Never memory that is gone."""
    with load_part("maps") as obj:
        live = obj.variables
        assert live["plain"] == 7
    with pytest.raises(ValueError, match=r"map .*\.data is closed"):
        live["plain"]
    with pytest.raises(ValueError, match=r"map .*\.data is closed"):
        live["plain"] = 1


def test_variable_whose_map_was_not_made_says_so():
    """The section was left out."""
    spec = read("maps")
    spec.maps[".bss"].autocreate = False
    spec.programs["uses_all"].autoload = False
    with pybpfload.load(spec) as obj, pytest.raises(KeyError, match=r"its map `\.bss` was not created"):
        obj.variables["zeroed"]


@needs("arena")
def test_variables_of_an_arena_are_memory_too():
    """They lie at its start."""
    spec = read("arena")
    spec.programs["throws"].autoload = False
    with pybpfload.load(spec) as obj:
        obj.variables["counter"] = 1000
        assert obj.variables["counter"] == 1000
        assert obj.variables["other"] == 5
        assert run(obj.programs["count"], b"") == 0
        assert obj.variables["counter"] == 1005
