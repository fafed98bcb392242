"""The gates around kernel tests find what they are for: each kind of leak, made on purpose."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys

import pytest

from pybpfload._sys import syscall
from tests.support import gates

pytestmark = pytest.mark.kernel


def create_map_through_the_door():
    """An array map of one entry, made the way the library makes its maps."""
    attr = (ctypes.c_uint32 * 32)(gates.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    number = gates.SYS_BPF[os.uname().machine]
    fd = syscall.call(number, gates.BPF_MAP_CREATE, ctypes.byref(attr), ctypes.sizeof(attr))
    assert fd >= 0
    return fd


def test_gate_without_leak_is_silent():
    """What is closed in time is no leak."""
    leaks = gates.Leaks()
    with gates.watched_door(leaks):
        os.close(create_map_through_the_door())
    assert leaks.check() == []


def test_gate_open_file_descriptor_is_named():
    """A descriptor left open is reported with what it refers to."""
    leaks = gates.Leaks()
    with open(os.devnull) as stream:
        assert leaks.check() == [f"file descriptor {stream.fileno()} -> {os.devnull}"]
    assert leaks.check() == []


def test_gate_open_map_is_named_with_its_id():
    """For a BPF object the report has its kind and id, to find it with bpftool."""
    leaks = gates.Leaks()
    with gates.watched_door(leaks):
        fd = create_map_through_the_door()
    with contextlib.closing(os.fdopen(fd, "rb", buffering=0)):
        ((kind, number),) = gates.bpf_ids(fd)
        assert kind == "map"
        assert leaks.check() == [
            f"file descriptor {fd} -> anon_inode:bpf-map map {number}",
            f"BPF map with id {number}",
        ]


def test_gate_map_that_somebody_else_holds_is_found(monkeypatch):
    """A closed descriptor is not enough: another process keeps the map, as a pin or an attachment would."""
    monkeypatch.setattr(gates, "GONE_WITHIN_S", 0.2)
    leaks = gates.Leaks()
    with gates.watched_door(leaks):
        fd = create_map_through_the_door()
    ((_, number),) = gates.bpf_ids(fd)
    holder = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[fd])
    try:
        os.close(fd)
        assert [line for line in leaks.check() if line.startswith("BPF")] == [f"BPF map with id {number}"]
    finally:
        holder.communicate(b"\n")
    monkeypatch.undo()
    assert leaks.check() == []


def test_gate_door_is_put_back_after_an_error():
    """A failing test does not leave the watch in place."""
    before = syscall.door
    with pytest.raises(ZeroDivisionError), gates.watched_door(gates.Leaks()):
        raise ZeroDivisionError
    assert syscall.door is before
