"""Rows about how the kernel behaves where this library or its users' programs depend on it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Callable

from pybpfload import insn
from pybpfload._sys import attrs, bpf
from pybpfload._sys import progs as sys_progs
from pybpfload.btf import types as t
from pybpfload.btf.encode import encode
from pybpfload.errors import SyscallError
from pybpfload.features.base import (
    EXIT,
    EXIT_0,
    Feature,
    call,
    is_errno,
    kernel_type,
    loads,
    map_of,
    mov,
    program,
    program_attr,
)
from pybpfload.features.kinds import MAP_TYPES, PROG_TYPES, helper
from pybpfload.features.links import LINK_TYPES, NO_FD, made
from pybpfload.helper_ids import HELPERS
from pybpfload.insn import Insn
from pybpfload.uapi import AttachType as A
from pybpfload.uapi import Cmd, MapFlag, MapType, ProgFlag
from pybpfload.uapi import ProgType as P

__all__ = ["BEHAVIOURS"]

Probe = Callable[[], bool]
EVENT_SOURCES = "/sys/bus/event_source/devices"
TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
LSM_LIST = "/sys/kernel/security/lsm"


def _command(command: Cmd, words: bytes, *expected: int) -> Probe:
    """A command of something that is not there."""
    return lambda: is_errno(bpf.raw(command, words), *(expected or (errno.EBADF,)))


def _file(path: str) -> Probe:
    def probe() -> bool:
        os.stat(path)
        return True

    return probe


def _loads(type: P, *instructions: Insn, **options: int) -> Probe:
    return lambda: loads(type, *(instructions or EXIT_0), **options)


def _attaches(attach_type: A, function: str, flags: int = 0) -> Probe:
    prog_type = P.LSM if attach_type is A.LSM_MAC else P.TRACING
    return lambda: loads(prog_type, *EXIT_0, attach_type=attach_type, btf_id=kernel_type(function), flags=flags)


# Maps ---------------------------------------------------------------------------------------------


def _map(type: MapType, key: int = 4, value: int = 4, flags: int = 0) -> Probe:
    def probe() -> bool:
        with map_of(type, key, value, map_flags=flags):
            return True

    return probe


def _helper(type: P, name: str) -> Probe:
    return lambda: helper(type, HELPERS.index(name))


def _batch(type: MapType) -> Probe:
    def probe() -> bool:
        with map_of(type) as fd:
            # Of no elements at all.
            return bpf.raw(Cmd.MAP_LOOKUP_BATCH, struct.pack("=32xIIQQ", 0, fd, 0, 0)) == 0

    return probe


def _lookup_and_delete() -> bool:
    key, value = bpf.buffer(bytes(4)), bpf.buffer(bytes(4))
    with map_of(MapType.HASH) as fd:
        words = struct.pack("=IIQQQ", fd, 0, bpf.address_of(key), bpf.address_of(value), 0)
        return is_errno(bpf.raw(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, words), errno.ENOENT)


def _storage_values() -> bool:
    with sys_progs.load_btf(encode((t.Int(1, "int", 4, 32, 0, 1),)), "probe") as btf, socket.socket() as owner:
        types = {"btf_fd": btf.fileno(), "btf_key_type_id": 1, "btf_value_type_id": 1}
        with map_of(MapType.SK_STORAGE, 4, 4, 0, map_flags=MapFlag.NO_PREALLOC, **types) as fd:
            key, value = bpf.buffer(struct.pack("=i", owner.fileno())), bpf.buffer(bytes(4))
            words = struct.pack("=IIQQQ", fd, 0, bpf.address_of(key), bpf.address_of(value), 0)
            result = bpf.raw(Cmd.MAP_UPDATE_ELEM, words)
            if result < 0:
                raise bpf.error_of(-result, "BPF_MAP_UPDATE_ELEM sk_storage")
            return True


def _global_data() -> bool:
    with map_of(MapType.ARRAY) as fd:
        address = Insn(insn.LD_IMM64, 1, insn.PSEUDO_MAP_VALUE, 0, fd), Insn(0, 0, 0, 0, 0)
        return loads(P.SOCKET_FILTER, *address, *EXIT_0)


# Running programs ---------------------------------------------------------------------------------


def _run(type: P, data: bytes = b"", context: bytes = b"", flags: int = 0) -> Probe:
    def probe() -> bool:
        raw, ctx = bpf.buffer(data), bpf.buffer(context)
        with program(type, flags=flags) as fd:
            words = struct.pack(
                "=IIIIQQIIIIQQIII4x",
                *(fd, 0, len(data), 0, bpf.address_of(raw) if data else 0, 0, 0, 0, len(context), 0),
                *(bpf.address_of(ctx) if context else 0, 0, 0, 0, 0),
            )
            result = bpf.raw(Cmd.PROG_TEST_RUN, words)
            if result < 0:
                raise bpf.error_of(-result, "BPF_PROG_TEST_RUN")
            return True

    return probe


# The verifier -------------------------------------------------------------------------------------

ADD, JUMP_IF_MORE, JUMP_IF_ZERO, MAY_GOTO = 0x07, 0x25, 0x15, 0xE5


def _long() -> bool:
    return loads(P.SOCKET_FILTER, *[mov(0, 0)] * 5000, EXIT)


def _callback() -> bool:
    types = (t.Int(1, "int", 4, 32, 0, 1), t.FuncProto(2, 1, ()), t.Func(3, "main", 2, 0), t.Func(4, "callback", 2, 0))
    with sys_progs.load_btf(encode(types), "probe") as btf:
        code = (
            mov(1, 1), Insn(insn.LD_IMM64, 2, insn.PSEUDO_FUNC, 0, 6), Insn(0, 0, 0, 0, 0), mov(3, 0), mov(4, 0),
            call(181), *EXIT_0, *EXIT_0,
        )  # fmt: skip
        return loads(P.TRACEPOINT, *code, btf_fd=btf.fileno(), functions=((0, 3), (8, 4)))


def _fd_array(count: int) -> Probe:
    def probe() -> bool:
        with map_of(MapType.ARRAY) as fd:
            by_index = Insn(insn.LD_IMM64, 1, insn.PSEUDO_MAP_IDX, 0, 0), Insn(0, 0, 0, 0, 0)
            return loads(P.SOCKET_FILTER, *by_index, *EXIT_0, fd_array=(fd,), fd_array_cnt=count)

    return probe


def _true_log_size() -> bool:
    attr = program_attr(P.SOCKET_FILTER, EXIT)
    is_errno(sys_progs.load(attr, "", log_size=4096)[0], errno.EACCES, errno.EINVAL)
    return bool(attr.log_true_size)


def _verified() -> bool:
    with program(P.SOCKET_FILTER) as fd:
        return bool(sys_progs.info(fd).verified_insns)


def _module_btf() -> bool:
    with sys_progs.load_btf(encode((t.Int(1, "int", 4, 32, 0, 1),)), "probe") as btf:
        name = bpf.buffer(bytes(64))
        bpf.get_info(btf.fileno(), attrs.BtfInfo(name=bpf.address_of(name), name_len=64), "BTF")
        return True


def _sleepable() -> bool:
    try:
        return loads(P.SYSCALL, flags=ProgFlag.SLEEPABLE)
    except SyscallError:
        # Kernels before 5.14 have no such type.
        return _attaches(A.LSM_MAC, "bpf_lsm_bprm_committed_creds", ProgFlag.SLEEPABLE)()


def _atomic() -> tuple[Insn, ...]:
    """``r0 = 0; *(u64 *)(r10 - 8) = r0; r0 = fetch and add``."""
    store = Insn(insn.STX | insn.MODE_MEM | insn.SIZES[8], 10, 0, -8, 0)
    return mov(0, 0), store, Insn(insn.STX | insn.MODE_ATOMIC | insn.SIZES[8], 10, 0, -8, 1), *EXIT_0


# A call of no kernel function, which is never reached.
NO_KFUNC = (mov(0, 0), Insn(JUMP_IF_ZERO, 0, 0, 1, 0), call(0, insn.PSEUDO_KFUNC_CALL), EXIT)


# The rest -----------------------------------------------------------------------------------------


def _syscall_wrapper() -> bool:
    machine = {"x86_64": "x64", "aarch64": "arm64", "s390x": "s390x", "riscv64": "riscv"}[os.uname().machine]
    return kernel_type(f"__{machine}_sys_bpf") > 0


def _bpf_lsm() -> bool:
    with open(LSM_LIST) as file:
        return "bpf" in file.read().split(",")


def _tracefs() -> bool:
    return any(os.path.isdir(f"{root}/events") for root in TRACEFS)


BEHAVIOURS: dict[str, Feature] = {
    # links
    "perf_link": Feature("BPF links on perf events, with cookies", "5.15", LINK_TYPES["link:perf_event"].probe),
    "bpf_cookie": Feature("bpf_get_attach_cookie()", "5.15", _loads(P.KPROBE, call(174), EXIT)),
    "raw_tp_cookie": Feature(
        "cookies on raw tracepoints", "6.10", _command(Cmd.RAW_TRACEPOINT_OPEN, struct.pack("=QIIQ", 0, NO_FD, 0, 1))
    ),
    "kprobe_multi": LINK_TYPES["link:kprobe_multi"],
    "kprobe_session": LINK_TYPES["link:kprobe_session"],
    "uprobe_multi": LINK_TYPES["link:uprobe_multi"],
    "uprobe_session": LINK_TYPES["link:uprobe_session"],
    "tcx": LINK_TYPES["link:tcx"],
    "netkit": LINK_TYPES["link:netkit"],
    "netfilter": LINK_TYPES["link:netfilter"],
    "link_update": Feature("programs of links replaced", "5.7", _command(Cmd.LINK_UPDATE, struct.pack("=I12x", NO_FD))),
    "link_detach": Feature("links cut by force", "5.9", _command(Cmd.LINK_DETACH, struct.pack("=I", NO_FD))),
    "iter": LINK_TYPES["link:iter"],
    "struct_ops": Feature("struct_ops", "5.6", MAP_TYPES["map:struct_ops"].probe),
    "struct_ops_link": LINK_TYPES["link:struct_ops"],
    # where programs go
    "tp_btf": Feature("tracepoints with BTF", "5.5", PROG_TYPES["prog:tracing"].probe),
    "fentry": Feature("fentry", "5.5", _attaches(A.TRACE_FENTRY, "bpf_fentry_test1")),
    "fexit": Feature("fexit", "5.5", _attaches(A.TRACE_FEXIT, "bpf_fentry_test1")),
    "fmod_ret": Feature("fmod_ret", "5.7", _attaches(A.MODIFY_RETURN, "security_file_open")),
    "freplace": Feature("programs that replace a function of another", "5.6", PROG_TYPES["prog:ext"].probe),
    "lsm": Feature("LSM programs", "5.7", PROG_TYPES["prog:lsm"].probe),
    "bpf_lsm": Feature("`bpf` in the list of active LSMs", "5.7", _bpf_lsm),
    "kprobe": Feature("kprobes through perf events", "4.17", _file(f"{EVENT_SOURCES}/kprobe/type")),
    "uprobe": Feature("uprobes through perf events", "4.17", _file(f"{EVENT_SOURCES}/uprobe/type")),
    "uprobe_semaphore": Feature(
        "uprobes that count themselves in", "4.20", _file(f"{EVENT_SOURCES}/uprobe/format/ref_ctr_offset")
    ),
    "tracefs": Feature("mounted tracefs", "4.1", _tracefs),
    "syscall_wrapper": Feature("system calls that take struct pt_regs", "4.17", _syscall_wrapper),
    # maps
    "mmapable": Feature("array maps in user space's memory", "5.5", _map(MapType.ARRAY, flags=MapFlag.MMAPABLE)),
    "map_freeze": Feature("BPF_MAP_FREEZE", "5.2", _command(Cmd.MAP_FREEZE, struct.pack("=I", NO_FD))),
    "batch": Feature("batches of map elements", "5.6", _batch(MapType.HASH)),
    "batch_percpu_array": Feature("batches of per-CPU arrays", "5.13", _batch(MapType.PERCPU_ARRAY)),
    "lookup_and_delete": Feature("lookup and delete in hashes", "5.14", _lookup_and_delete),
    # Kernels from 7.x on allocate them without locks, which takes a processor with cmpxchg16b.
    "storage_values": Feature("values of storage maps", "5.2", _storage_values),
    "ringbuf": MAP_TYPES["map:ringbuf"],
    "user_ringbuf": MAP_TYPES["map:user_ringbuf"],
    "arena": MAP_TYPES["map:arena"],
    "bloom_filter": MAP_TYPES["map:bloom_filter"],
    "global_data": Feature("global variables", "5.2", _global_data),
    "memcg": Feature(
        "memory charged to the cgroup, not to RLIMIT_MEMLOCK", "5.11", _loads(P.SOCKET_FILTER, call(160), EXIT)
    ),
    "prog_bind_map": Feature(
        "BPF_PROG_BIND_MAP", "5.10", _command(Cmd.PROG_BIND_MAP, struct.pack("=III", NO_FD, NO_FD, 0))
    ),
    # running and watching programs
    "prog_run": Feature("BPF_PROG_TEST_RUN", "4.12", _run(P.SOCKET_FILTER, bytes(14))),
    "prog_run_skb_ctx": Feature(
        "BPF_PROG_TEST_RUN with struct __sk_buff", "5.2", _run(P.SOCKET_FILTER, bytes(14), bytes(192))
    ),
    "prog_run_xdp_ctx": Feature(
        "BPF_PROG_TEST_RUN with struct xdp_md", "5.15", _run(P.XDP, bytes(64), struct.pack("=6I", 0, 64, 0, 0, 0, 0))
    ),
    "prog_run_raw_tp": Feature("BPF_PROG_TEST_RUN of raw tracepoints", "5.10", _run(P.RAW_TRACEPOINT, b"", bytes(8))),
    "prog_run_syscall": Feature(
        "BPF_PROG_TEST_RUN of syscall programs", "5.14", _run(P.SYSCALL, flags=ProgFlag.SLEEPABLE)
    ),
    "verified_insns": Feature("how many instructions the verifier looked at", "5.16", _verified),
    "stats": Feature("BPF_ENABLE_STATS", "5.8", lambda: made(bpf.raw(Cmd.ENABLE_STATS, bytes(4)))),
    "prog_stream": Feature(
        "programs' output streams", "6.17", _command(Cmd.PROG_STREAM_READ_BY_FD, struct.pack("=QIII", 0, 0, 1, NO_FD))
    ),
    "token": Feature("BPF tokens", "6.9", _command(Cmd.TOKEN_CREATE, struct.pack("=II", 0, NO_FD))),
    # the verifier
    "probe_read_kernel": Feature("bpf_probe_read_kernel()", "5.5", _helper(P.KPROBE, "probe_read_kernel")),
    "long_programs": Feature("programs of more than 4,096 instructions", "5.2", _long),
    "bounded_loops": Feature(
        "loops that end",
        "5.3",
        _loads(P.SOCKET_FILTER, mov(0, 9), Insn(ADD, 0, 0, 0, -1), Insn(JUMP_IF_MORE, 0, 0, -2, 0), EXIT),
    ),
    "atomics": Feature("atomic operations that fetch", "5.12", _loads(P.SOCKET_FILTER, *_atomic())),
    "callbacks": Feature("functions as callbacks of helpers", "5.17", _callback),
    "may_goto": Feature("may_goto", "6.9", _loads(P.SOCKET_FILTER, mov(0, 0), Insn(MAY_GOTO, 0, 0, 0, 0), EXIT)),
    "cpu_v4": Feature(
        "instructions of CPU version 4", "6.6", _loads(P.SOCKET_FILTER, mov(0, 0), Insn(0xBF, 0, 0, 8, 0), EXIT)
    ),
    "fd_array": Feature("arrays of descriptors in place of maps", "5.14", _fd_array(0)),
    "fd_array_cnt": Feature("arrays of descriptors that are bound", "6.14", _fd_array(1)),
    "log_true_size": Feature("how long the verifier's log is", "6.4", _true_log_size),
    "kfunc": Feature(
        "calls of kernel functions, absent ones too", "5.16", _loads(P.SYSCALL, *NO_KFUNC, flags=ProgFlag.SLEEPABLE)
    ),
    "sleepable": Feature("sleepable programs", "5.10", _sleepable),
    "sleepable_uprobe": Feature("sleepable uprobes", "6.0", _loads(P.KPROBE, flags=ProgFlag.SLEEPABLE)),
    "xdp_frags": Feature("XDP of packets in pieces", "5.18", _loads(P.XDP, flags=ProgFlag.XDP_HAS_FRAGS)),
    "module_btf": Feature("BTF of modules", "5.11", _module_btf),
}
