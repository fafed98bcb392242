"""Iterators, sampling, struct_ops, functions of other programs; and what all links can do."""

from __future__ import annotations

import mmap
import os
import time

import pytest

import pybpfload
from pybpfload.errors import AttachError, ObjectError, UnsupportedError
from pybpfload.uapi import LinkType
from tests.support.needs import needs, uses
from tests.support.objects import only, read
from tests.support.sandbox import bpffs, cgroup

pytestmark = pytest.mark.kernel

# Iterators ----------------------------------------------------------------------------------------


@needs("iter")
@uses("prog:tracing", "link:iter")
def test_iterator_is_a_readable_file():
    """Each open() is a new run; this process is among the tasks."""
    with only("iterators", "tasks") as obj, pybpfload.attach_iter(obj.programs["tasks"]) as link:
        assert link.kind == "iter_link"
        wanted = f"task {os.getpid()} of {os.getpid()}\n"
        assert wanted in link.open().read()
        with link.open() as file:
            assert wanted in list(file)
        assert wanted in link.read()
        file = link.open("rb")
    assert file.closed


@needs("iter_process")
def test_iterator_over_tasks_of_one_process():
    """pid= leaves the others out."""
    with only("iterators", "tasks") as obj, pybpfload.attach_iter(obj.programs["tasks"], pid=os.getpid()) as link:
        assert {line.split(" of ")[1] for line in link.open()} == {f"{os.getpid()}\n"}


@needs("iter")
def test_iterator_over_the_elements_of_a_map():
    """As bytes, with the map as its parameter."""
    with only("iterators", "elements") as obj:
        for i in range(3):
            obj.maps["numbers"][i] = 1000 + i
        with pybpfload.attach_iter(obj.programs["elements"], map=obj.maps["numbers"]) as link:
            raw = link.open("rb").read()
        assert [int.from_bytes(raw[i : i + 8], "little") for i in range(0, 24, 8)] == [1000, 1001, 1002]
        with pytest.raises(AttachError, match="iter bpf_map_elem"):
            pybpfload.attach(obj.programs["elements"])


@needs("iter", "iter_cgroup")
@pytest.mark.parametrize(("order", "expected"), [("self", 1), ("down", 3), ("down_post", 3)])
def test_iterator_over_cgroups(order, expected):
    """From one of them, in the order that is asked for."""
    with only("iterators", "cgroups") as obj, cgroup(inside=False) as path:
        (path / "a").mkdir()
        (path / "b").mkdir()
        try:
            with pybpfload.attach_iter(obj.programs["cgroups"], cgroup=path, order=order) as link:
                assert link.read() == "c" * expected
            with pytest.raises(AttachError, match="order `sideways`: expected one of self, down"):
                pybpfload.attach_iter(obj.programs["cgroups"], cgroup=path, order="sideways")
        finally:
            (path / "a").rmdir()
            (path / "b").rmdir()


# Sampling -----------------------------------------------------------------------------------------


def burn(obj, samples, *, deadline_s=20):
    """Use the processor until so many samples are there."""
    end = time.monotonic() + deadline_s
    while obj.variables["samples"] < samples:
        assert time.monotonic() < end, f"{obj.variables['samples']} samples, expected {samples}"
        sum(range(20_000))


@pytest.mark.parametrize("kind", [pytest.param("perf_link", marks=needs("perf_link")), "perf_ioctl"])
@pytest.mark.parametrize("where", [{}, {"pid": 0}, {"pid": 0, "period": 1_000_000}], ids=str)
@uses("prog:perf_event")
def test_perf_event_samples_this_process(kind, where):
    """All CPUs, or this process; by frequency, or by period."""
    with only("samples", "on_sample", targ_tgid=os.getpid()) as obj:
        with pybpfload.attach_perf_event(obj.programs["on_sample"], kind=kind, **where) as link:
            assert link.kind == kind
            burn(obj, 5)
        after = obj.variables["samples"]
        for _ in range(50):
            sum(range(20_000))
        assert obj.variables["samples"] == after


@needs("perf_link", "bpf_cookie")
def test_perf_event_has_its_cookie():
    """On one CPU, of software's page faults."""
    page_faults = 2
    with only("samples", "on_sample_with_cookie") as obj:
        program = obj.programs["on_sample_with_cookie"]
        link = pybpfload.attach_perf_event(program, config=page_faults, period=1, pid=0, cookie=77)
        with link, mmap.mmap(-1, 1 << 22) as memory:
            memory.write(bytes(1 << 22))
        assert obj.variables["samples"] > 0
        assert obj.variables["cookie"] == 77


# struct_ops ---------------------------------------------------------------------------------------


def congestion_controls():
    """What TCP can use."""
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as file:
        return file.read().split()


def struct_ops(*maps):
    """struct_ops.bpf.c with some of its maps."""
    spec = read("struct_ops")
    for name, definition in spec.maps.items():
        definition.autocreate = name in maps
    return pybpfload.load(spec)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("plain", "map_update", marks=uses("map:struct_ops", "prog:struct_ops")),
        pytest.param("linked", "struct_ops_link", marks=uses("link:struct_ops")),
    ],
)
def test_struct_ops_is_registered_until_closed(name, kind):
    """A congestion control of TCP, by a link or by its map's value; attach_all() does it too."""
    with struct_ops(name) as obj:
        with obj.attach_struct_ops(name) as link:
            assert link.kind == kind
            assert f"pybpf_{name}" in congestion_controls()
        assert f"pybpf_{name}" not in congestion_controls()
    with struct_ops(name) as obj:
        with obj.attach_all() as links:
            assert [link.kind for link in links] == [kind]
            assert f"pybpf_{name}" in congestion_controls()
        assert f"pybpf_{name}" not in congestion_controls()


@needs("struct_ops_link")
def test_struct_ops_link_takes_another_map():
    """The new one's functions, under the same name, without a moment without."""
    with struct_ops("linked") as obj, struct_ops("linked") as other, obj.attach_struct_ops("linked") as link:
        assert link.info().details["map_id"] == obj.maps["linked"].id
        link.update_map(other.maps["linked"], other.struct_ops["linked"])
        assert link.info().details["map_id"] == other.maps["linked"].id


# Functions of other programs ----------------------------------------------------------------------


@needs("freplace")
@uses("prog:ext")
def test_freplace_replaces_a_function_of_another_program():
    """Until the link is closed."""
    with only("replaced", "on_packet") as obj:
        target = obj.programs["on_packet"]
        spec = read("replaces")
        spec.programs["on_entry"].autoload = False
        with pybpfload.load(spec, targets={"decide": target}) as other:
            target.run(bytes(64))
            assert obj.variables["result"] == 1
            with pybpfload.attach(other.programs["decide"]) as link:
                assert link.kind == "tracing"
                target.run(bytes(64))
                assert obj.variables["result"] == 42
            target.run(bytes(64))
            assert obj.variables["result"] == 1


@needs("freplace")
def test_freplace_goes_to_another_program_than_it_was_loaded_for():
    """One with a function of the same type."""
    with only("replaced", "on_packet") as obj, only("replaced", "on_packet") as second:
        spec, other = read("replaces"), second.programs["on_packet"]
        spec.programs["on_entry"].autoload = False
        targets = {"decide": obj.programs["on_packet"]}
        with pybpfload.load(spec, targets=targets) as replaces:
            link = pybpfload.attach_freplace(replaces.programs["decide"], other)
            other.run(bytes(64))
            link.close()
            assert second.variables["result"] == 42


@needs("freplace", "fentry")
def test_fentry_of_another_program_sees_it_run():
    """The same way of naming what to attach to."""
    with only("replaced", "on_packet") as obj:
        target = obj.programs["on_packet"]
        spec = read("replaces")
        spec.programs["decide"].autoload = False
        with pybpfload.load(spec, targets={"on_entry": target}) as other:
            with pybpfload.attach(other.programs["on_entry"]):
                target.run(bytes(64))
            assert other.variables["seen"] == 1


def test_function_of_another_program_that_is_missing_is_named():
    """With those that it has; and load() wants to know the target."""
    with only("replaced", "on_packet") as obj:
        spec = read("replaces")
        with pytest.raises(ObjectError, match=r"load\(\) has to know whose function: targets="):
            pybpfload.load(spec)
        spec.programs["decide"].target = "nosuch"
        with pytest.raises(
            UnsupportedError, match=r"function `nosuch` in program `on_packet`, .* has decide, on_packet"
        ):
            pybpfload.load(spec, targets={"decide": obj.programs["on_packet"]})


# All links ----------------------------------------------------------------------------------------


@needs("perf_link")
@uses("link:perf_event")
def test_link_that_keeps_its_program_says_so(tmp_path):
    """Perf links can be pinned, but not updated."""
    with only("tracepoint", "on_enter_getpgid", targ_tgid=os.getpid()) as obj, bpffs(tmp_path / "bpf") as pins:
        program = obj.programs["on_enter_getpgid"]
        with pybpfload.attach(program) as link:
            assert link.info().type is LinkType.PERF_EVENT
            with pytest.raises(OSError, match="BPF_LINK_UPDATE on_enter_getpgid"):
                link.update(program)
            link.pin(pins / "link")
        os.getpgid(0)
        assert obj.maps["hits"][0] == 1
        with pybpfload.open_link(pins / "link") as again:
            assert again.kind == "perf_link"
            (pins / "link").unlink()
        with pytest.raises(OSError, match="BPF_OBJ_GET"):
            pybpfload.open_link(pins / "link")


def test_open_link_of_something_else_is_refused(tmp_path):
    """A pinned program is no link."""
    with only("tracepoint", "on_enter_getpgid") as obj, bpffs(tmp_path / "bpf") as pins:
        obj.programs["on_enter_getpgid"].pin(pins / "program")
        with pytest.raises(AttachError, match="what is pinned there is no link"):
            pybpfload.open_link(pins / "program")


@uses("link:raw_tracepoint")
def test_raw_tracepoint_info_has_its_name():
    """The kernel gives the tracepoint back."""
    with only("tracepoint", "on_raw_enter") as obj, pybpfload.attach(obj.programs["on_raw_enter"]) as link:
        info = link.info()
        assert info.type is LinkType.RAW_TRACEPOINT
        assert info.target == "sys_enter"
        assert info.prog_id == obj.programs["on_raw_enter"].id


@needs("raw_tp_cookie")
def test_raw_and_btf_tracepoints_take_cookies():
    """Where the kernel has them; a refusal says since when."""
    with only("tracepoint", "on_btf_enter", "on_raw_enter") as obj:
        for program in obj.programs.values():
            pybpfload.attach(program, cookie=5).close()


def test_link_set_closes_all_even_after_an_error():
    """The first error comes out when all are closed."""
    with only("tracepoint", "on_enter_getpgid", "on_raw_enter") as obj:
        links = obj.attach_all()
        kept = list(links)
        for link in kept:
            link.also(lambda: os.close(-1))
        with pytest.raises(OSError, match="Bad file descriptor"):
            links.close()
        assert all(link.closed for link in kept)
