"""What few objects use: struct_ops, arenas, exception callbacks."""

from __future__ import annotations

import os

import pytest

import pybpfload
from pybpfload.errors import ObjectError, UnsupportedError
from pybpfload.linker import link
from tests.support.needs import needs
from tests.support.objects import read

pytestmark = pytest.mark.kernel


def congestion_controls() -> list[str]:
    """What TCP can use."""
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as file:
        return file.read().split()


@needs("struct_ops_link")
def test_struct_ops_is_registered_by_writing_its_value():
    """A congestion control written in BPF appears in TCP's list, and goes again."""
    with pybpfload.load(read("struct_ops")) as obj:
        plain = obj.maps["plain"]
        plain[bytes(4)] = obj.struct_ops["plain"]
        try:
            assert "pybpf_plain" in congestion_controls()
        finally:
            del plain[bytes(4)]
        assert "pybpf_plain" not in congestion_controls()


def test_struct_ops_member_that_the_kernel_lacks_must_be_zero():
    """`no_such_member` is fine as long as it says nothing."""
    spec = read("struct_ops")
    ops = spec.maps["plain"].struct_ops
    at = 24  # behind three function pointers
    data = ops.data[:at] + b"\1" + ops.data[at + 1 :]
    spec.maps["plain"].struct_ops = ops._replace(data=data)
    with pytest.raises(ObjectError, match="`plain`: member `no_such_member`: this kernel's struct has no such member"):
        pybpfload.load(spec)


@needs("struct_ops_link")
def test_struct_ops_program_that_nothing_refers_to_is_not_loaded():
    """A function of no map has no member to stand for."""
    spec = read("struct_ops")
    for definition in spec.maps.values():
        definition.struct_ops.programs.pop("undo_cwnd")
    with pybpfload.load(spec) as obj:
        assert set(obj.programs) == {"ssthresh", "cong_avoid"}


def test_struct_ops_that_the_kernel_lacks_is_unsupported():
    """The struct is named."""
    spec = read("struct_ops")
    number = spec.maps["plain"].struct_ops.type_id
    spec.btf.replace(spec.btf.type(number)._replace(name="no_such_ops"))
    with pytest.raises(UnsupportedError, match="this kernel has no struct_ops `no_such_ops`"):
        pybpfload.load(spec)


@needs("arena")
def test_arena_variables_begin_as_the_object_says():
    """They lie in memory that user space shares."""
    spec = read("arena")
    spec.variables["counter"] = 123456
    with pybpfload.load(spec) as obj:
        assert obj.variables["counter"] == 123456
        assert obj.variables["other"] == 5
        obj.maps["arena"].memory[0:4] = (99).to_bytes(4, "little")
        assert 99 in (obj.variables["counter"], obj.variables["other"])


@needs("arena")
def test_exception_callback_is_appended_last():
    """The verifier finds the function that a tag names, and the program loads."""
    spec = read("arena")
    linked = link(spec, spec.programs["throws"], [])
    assert [spec.functions[key].name for key, _ in linked.functions] == ["throws", "on_exception"]
    with pybpfload.load(spec) as obj:
        assert "throws" in obj.programs


def test_maps_of_maps_and_tail_calls_begin_as_the_object_says():
    """Static contents: inner maps by index, programs that a tail call reaches."""
    spec = read("nested")
    spec.variables["targ_tgid"] = os.getpid()
    with pybpfload.load(spec) as obj:
        held = [obj.maps["outer"][i] for i in (0, 2, 3)]
        assert held == [obj.maps["first"].id, obj.maps["second"].id, obj.maps["first"].id]
        assert obj.maps["outer"].max_entries == 4
        with pybpfload.attach(obj.programs["jumps"]):
            os.getppid()
        reached = obj.variables["reached"]
        assert reached
        assert reached % 1000 == 0
        assert obj.maps["first"][0] > 0


def test_map_of_maps_takes_only_maps_like_its_template():
    """The inner definition is what the kernel compares with."""
    with pybpfload.load(read("nested")) as obj, pytest.raises(OSError, match="BPF_MAP_UPDATE_ELEM empty"):
        obj.maps["empty"][bytes(4)] = obj.maps["first"]
