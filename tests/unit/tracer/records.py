"""Records for tests, as the kernel sends them, and what decodes them."""

from __future__ import annotations

from functools import cache

import pybpfload
from tracer import objects
from tracer.clock import BootClock
from tracer.decode import Decoder

HEADER = {"start_time": 500_000_000, "cgroup": 4242, "pid": 4711, "tid": 4711, "ppid": 1, "uid": 1000, "gid": 1000,
          "comm": b"cat"}  # fmt: skip
TIME_NS = 10**12


@cache
def spec():
    return pybpfload.read_object(objects.read("file_open_trace", machine="x86_64"), name="file_open_trace")


@cache
def decoder():
    return Decoder(spec().records["events"], spec().btf, BootClock(), "x86_64")


def raw(kind, tail=None, **fields):
    """A record, all of it; with `tail` it ends after these bytes of its last member."""
    layout = spec().records["events"].member(kind)
    if "strings_size" in layout.names:
        fields.setdefault("strings_size", len(tail or b""))
    number = spec().btf.enum_values("ct_kind")[f"CT_{kind.upper()}"]
    values = {**HEADER, "time": TIME_NS, "kind": number, **fields}
    data = layout.pack_value({**values, **({} if tail is None else {layout.names[-1]: b""})})
    return data if tail is None else data[: layout.min_size] + tail


def row(kind, tail=None, time_ns=TIME_NS, **fields):
    """A record as a ring gives it."""
    return time_ns, raw(kind, tail, **fields)[8:]


def opened(name=b"/etc/ssl/x.pem", **fields):
    """A row of an open that succeeded; the file lies where its name says."""
    names = b"\0".join(reversed(name.split(b"/")))
    return row("file_open", name + b"\0" + names + b"\0", result=3, inode=7, **fields)


def executed(*arguments, **fields):
    """A row of the start of a program."""
    strings = b"".join(each + b"\0" for each in arguments)
    return row("process_exec", b"/bin/x\0" + strings, argv_size=len(strings), **fields)
