"""bpf(2) for programs and BTF."""

from __future__ import annotations

import ctypes
import errno
from typing import NamedTuple

from pybpfload._sys import attrs
from pybpfload._sys.bpf import address_of, allocating, bpf, buffer, error_of, get_info, object_name
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.uapi import Cmd

__all__ = [
    "Run",
    "btf_data",
    "enable_stats",
    "info",
    "info_arrays",
    "load",
    "load_btf",
    "module_btf_fd",
    "run",
]

ENOTSUPP = 524  # the kernel's own


@uninterrupted
def load_btf(data: bytes, name: str) -> Fd:
    """BPF_BTF_LOAD. When it fails, a second try collects the kernel's log for the message."""
    blob = buffer(data)
    attr = attrs.BtfLoad(btf=address_of(blob), btf_size=len(data))
    result = allocating(Cmd.BTF_LOAD, attr)
    if result < 0:
        log = (ctypes.c_char * (1 << 16))()
        attr.btf_log_buf, attr.btf_log_size, attr.btf_log_level = address_of(log), len(log), 1
        again = bpf(Cmd.BTF_LOAD, attr)
        if again < 0:
            lines = log.value.decode("utf-8", "backslashreplace").strip().splitlines()
            raise error_of(-result, f"BPF_BTF_LOAD {name}", "\n  ".join(["", *lines[-3:]]) if lines else "")
        result = again
    return Fd(result, f"BTF {name}")


@uninterrupted
def module_btf_fd(name: str) -> Fd:
    """The BTF of a kernel module, by its name: walks through the numbers of all BTF objects.

    Needs CAP_SYS_ADMIN. Kernel: 5.11, 5329722057d4.
    """
    attr = attrs.Id()
    while True:
        result = bpf(Cmd.BTF_GET_NEXT_ID, attr)
        if result == -errno.ENOENT:
            raise error_of(errno.ENOENT, f"BPF_BTF_GET_NEXT_ID {name}", "this module has no BTF in the kernel")
        if result < 0:
            raise error_of(-result, f"BPF_BTF_GET_NEXT_ID {name}")
        attr.id = attr.next_id
        result = bpf(Cmd.BTF_GET_FD_BY_ID, attrs.Id(id=attr.id))
        if result < 0:
            if result == -errno.ENOENT:
                continue  # unloaded meanwhile
            raise error_of(-result, f"BPF_BTF_GET_FD_BY_ID {name}")
        fd = Fd(result, f"BTF of {name}")
        text = (ctypes.c_char * 64)()
        info = attrs.BtfInfo(name=address_of(text), name_len=len(text))
        try:
            get_info(fd.fileno(), info, "BTF")
        except BaseException:
            fd.close()
            raise
        if info.kernel_btf and text.value == name.encode():
            return fd
        fd.close()


def load(attr: attrs.ProgLoad, name: str, *, log_size: int = 0) -> tuple[int, str]:
    """BPF_PROG_LOAD: (file descriptor or minus the errno, the verifier's log)."""
    attr.prog_name = object_name(name)
    if not log_size:
        return allocating(Cmd.PROG_LOAD, attr), ""
    log = (ctypes.c_char * log_size)()
    attr.log_buf, attr.log_size, attr.log_level = address_of(log), log_size, 1
    result = allocating(Cmd.PROG_LOAD, attr)
    return result, log.value.decode("utf-8", "backslashreplace")


class Run(NamedTuple):
    """What a test run gave.

    Attributes:
        duration_ns: of one run, on average.
        data_size, ctx_size: what there was; `data` and `ctx` hold no more than there was room for.
    """

    retval: int
    data: bytes
    ctx: bytes
    duration_ns: int
    data_size: int
    ctx_size: int


def run(
    fd: int,
    name: str,
    *,
    data: bytes,
    data_room: int,
    ctx: bytes,
    ctx_room: int,
    repeat: int,
    flags: int,
    cpu: int,
    batch: int,
) -> Run:
    """BPF_PROG_TEST_RUN.

    With no `ctx_room`, the program changes `ctx` itself, and that is given back.
    """
    attr = attrs.TestRun(prog_fd=fd, repeat=repeat, flags=flags, cpu=cpu, batch_size=batch)
    given, context = buffer(data), buffer(ctx)
    out, ctx_out = (ctypes.c_char * max(1, data_room))(), (ctypes.c_char * max(1, ctx_room))()
    if data:
        attr.data_in, attr.data_size_in = address_of(given), len(data)
    if data_room:
        attr.data_out, attr.data_size_out = address_of(out), data_room
    if ctx:
        attr.ctx_in, attr.ctx_size_in = address_of(context), len(ctx)
    if ctx_room:
        attr.ctx_out, attr.ctx_size_out = address_of(ctx_out), ctx_room
    result = bpf(Cmd.PROG_TEST_RUN, attr)
    # Room that was too small is no failure: what fits was written, and the sizes say what there was.
    if result < 0 and result != -errno.ENOSPC:
        detail = "programs of this type cannot be run this way" if result == -ENOTSUPP else ""
        raise error_of(-result, f"BPF_PROG_TEST_RUN {name}", detail)
    sizes = attr.data_size_out, attr.ctx_size_out
    left = ctx_out.raw[: min(ctx_room, sizes[1])] if ctx_room else context.raw[: len(ctx)]
    return Run(attr.retval, out.raw[: min(data_room, sizes[0])], left, attr.duration, *sizes)


def info(fd: int) -> attrs.ProgInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a program: numbers, and how long its arrays are."""
    found = attrs.ProgInfo()
    get_info(fd, found, "program")
    return found


class _Array(NamedTuple):
    """An array that BPF_OBJ_GET_INFO_BY_FD fills in: the members with its length and with its elements' size."""

    length: str
    width: str = ""
    fixed: int = 1


_ARRAYS = {
    "xlated_prog_insns": _Array("xlated_prog_len"),
    "map_ids": _Array("nr_map_ids", fixed=4),
    "func_info": _Array("nr_func_info", "func_info_rec_size"),
    "line_info": _Array("nr_line_info", "line_info_rec_size"),
}


def info_arrays(fd: int, *names: str) -> tuple[attrs.ProgInfo, dict[str, bytes]]:
    """The same, with the contents of some of its arrays.

    An array that this process may not see is empty.
    """
    sizes, asked = info(fd), attrs.ProgInfo()
    rooms, found = {}, {}
    for name in names:
        array = _ARRAYS[name]
        count, width = getattr(sizes, array.length), getattr(sizes, array.width) if array.width else array.fixed
        rooms[name] = room = (ctypes.c_char * max(1, width * count))()
        setattr(asked, array.length, count)
        if array.width:
            setattr(asked, array.width, width)
        setattr(asked, name, address_of(room) if count else 0)
    get_info(fd, asked, "program")
    for name, room in rooms.items():
        # The kernel takes an address back when it shows nothing there. An array may have become shorter.
        whole = bytes(room) if getattr(asked, name) else b""
        count, before = getattr(asked, _ARRAYS[name].length), getattr(sizes, _ARRAYS[name].length)
        found[name] = whole[: len(whole) * min(count, before) // before] if before else b""
    return asked, found


@uninterrupted
def btf_data(number: int) -> bytes:
    """The BTF with an id; b"" when it is the kernel's own. Needs CAP_SYS_ADMIN."""
    result = bpf(Cmd.BTF_GET_FD_BY_ID, attrs.Id(id=number))
    if result < 0:
        raise error_of(-result, f"BPF_BTF_GET_FD_BY_ID {number}")
    with Fd(result, f"BTF {number}") as fd:
        head = attrs.BtfInfo()
        get_info(fd.fileno(), head, "BTF")
        if head.kernel_btf:
            return b""
        data = (ctypes.c_char * head.btf_size)()
        get_info(fd.fileno(), attrs.BtfInfo(btf=address_of(data), btf_size=len(data)), "BTF")
        return bytes(data)


@uninterrupted
def enable_stats() -> Fd:
    """BPF_ENABLE_STATS: times and runs are counted as long as it is open. Kernel: 5.8, d46edd671a14."""
    result = bpf(Cmd.ENABLE_STATS, attrs.EnableStats(type=0))
    if result < 0:
        raise error_of(-result, "BPF_ENABLE_STATS")
    return Fd(result, "statistics of programs")
