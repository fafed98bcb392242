"""Programs in the kernel: looked at, run, pinned, opened again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from pybpfload._sys import ids, pins
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.errors import ObjectError, printable
from pybpfload.maps import Map
from pybpfload.progs.info import ProgramInfo, ProgramStats, read_info, stats_of
from pybpfload.progs.xlated import Xlated, read_xlated
from pybpfload.sections import Flag
from pybpfload.spec import ProgramSpec
from pybpfload.uapi import ProgType

__all__ = ["Program", "RunResult", "open_program"]

ON_CPU = 1  # BPF_F_TEST_RUN_ON_CPU
LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
HEADROOM = 4096  # by how much a program may make its packet larger
# Programs that are given a packet. Those need at least an Ethernet header.
PACKETS = (
    ProgType.SOCKET_FILTER, ProgType.SCHED_CLS, ProgType.SCHED_ACT, ProgType.XDP, ProgType.CGROUP_SKB,
    ProgType.LWT_IN, ProgType.LWT_OUT, ProgType.LWT_XMIT, ProgType.LWT_SEG6LOCAL, ProgType.FLOW_DISSECTOR,
)  # fmt: skip


class RunResult(NamedTuple):
    """What a run gave.

    Attributes:
        retval: what the program returned, as an unsigned number of 32 bits.
        data: the packet as the program left it.
        ctx: the context as it left it.
        duration_ns: of one run, on average over all repetitions.
    """

    retval: int
    data: bytes
    ctx: bytes
    duration_ns: int


class Program:
    """A program in the kernel; owns its file descriptor.

    Attributes:
        name: as the object calls it.
        spec: what it was loaded from; of one that was only opened, what the kernel knows of that.
        insn_count: slots that were given to the verifier; 0 of one that was only opened.
        attach_type: that it was loaded with; None of one that was only opened, since the kernel does not tell.
        maps: its object's, by name; none of one that was only opened.
    """

    def __init__(self, fd: Fd, spec: ProgramSpec, insn_count: int = 0, attach_type: int | None = None) -> None:
        self._fd = fd
        self.spec = spec
        self.name = spec.name
        self.insn_count = insn_count
        self.attach_type = attach_type
        self.maps: Mapping[str, Map] = {}

    def __repr__(self) -> str:
        return f"<Program {printable(self.name)} {self.spec.type.name}{' closed' if self._fd.closed else ''}>"

    def fileno(self) -> int:
        """The file descriptor's number. It stays the program's own."""
        return self._fd.fileno()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._fd.closed

    def close(self) -> None:
        """Give the program up; links and pins keep it. Closing twice does nothing."""
        self._fd.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def id(self) -> int:
        """The kernel's number for it, as bpftool shows it."""
        return int(sys_progs.info(self.fileno()).id)

    def info(self) -> ProgramInfo:
        """What the kernel tells about it, now.

        Kernel: 4.13, 1e2709769086.
        """
        return read_info(self.fileno())

    def stats(self) -> ProgramStats:
        """How often it ran, and how long, while a `RunStats` was open."""
        return stats_of(sys_progs.info(self.fileno()))

    def xlated(self) -> Xlated:
        """Its code as the verifier left it, with source lines where its BTF has them.

        Raises:
            PrivilegeError: this process may not see it.
        """
        return read_xlated(self.fileno(), self.name)

    def run(
        self,
        data: bytes | bytearray | memoryview = b"",
        *,
        ctx: bytes | bytearray | memoryview = b"",
        repeat: int = 1,
        cpu: int | None = None,
        live_frames: int = 0,
    ) -> RunResult:
        """Run it now, in this process, without attaching it.

        Args:
            data: the packet, from its Ethernet header on (at least 14 bytes), for programs that take one.
            ctx: the context: struct __sk_buff, xdp_md or sk_lookup; the arguments of a raw tracepoint, as
                64-bit numbers; what a syscall program is given, which it may change.
            repeat: how often; each run gets what the one before left.
            cpu: where to run a raw tracepoint's program.
            live_frames: of an XDP program, how many packets at a time really go where it sends them; then
                nothing is given back.

        Raises:
            SyscallError: ENOTSUPP (524) when programs of this type cannot be run; EINVAL when data or
                context are not what this type takes.

        Kernel: packets 4.12, 1cf1cae963c2; contexts 5.2; tracing 5.7; raw tracepoints 5.10, 1b4d60ec162f;
        syscall programs 5.14.
        """
        packet, context = bytes(data), bytes(ctx)
        result = sys_progs.run(
            self.fileno(),
            self.name,
            data=packet,
            data_room=len(packet) + HEADROOM if packet and not live_frames and self.spec.type in PACKETS else 0,
            ctx=context,
            ctx_room=0 if live_frames or self.spec.type in WITHOUT_REPEAT else len(context),
            repeat=0 if repeat == 1 and self.spec.type in WITHOUT_REPEAT else repeat,
            flags=(ON_CPU if cpu is not None else 0) | (LIVE_FRAMES if live_frames else 0),
            cpu=cpu or 0,
            batch=live_frames,
        )
        return RunResult(result.retval, result.data, result.ctx, result.duration_ns)

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give it a name on a bpffs, which keeps it when all descriptors are closed.

        Raises:
            SyscallError: EEXIST when there is something; EPERM when this is no bpffs.
        """
        pins.pin(self.fileno(), os.fspath(path))

    def unpin(self, path: str | os.PathLike[str]) -> None:
        """Take a name away again; the program stays as long as anybody has it.

        Raises:
            ValueError: what is there is another program, or none.
        """
        with open_program(path) as there:
            if there.id != self.id:
                raise ValueError(f"{os.fspath(path)}: is program {there.id}, this one is {self.id}")
        os.unlink(path)


# These take no number of runs, and no room for another context.
WITHOUT_REPEAT = (ProgType.RAW_TRACEPOINT, ProgType.TRACING, ProgType.SYSCALL, ProgType.STRUCT_OPS)


def open_program(which: str | os.PathLike[str] | int) -> Program:
    """Open a program that exists: by the path that it is pinned at, or by its id. The caller closes it.

    Raises:
        SyscallError: ENOENT when there is none. PrivilegeError: an id takes CAP_SYS_ADMIN.
        ObjectError: what is pinned there is no program.

    Kernel: 4.4 by path, 4.13 by id.
    """
    fd = ids.open_number("program", which) if isinstance(which, int) else pins.open_pinned(os.fspath(which), "program")
    try:
        if os.readlink(f"/proc/self/fd/{fd.fileno()}") not in ("anon_inode:bpf-prog", "anon_inode:bpf_prog"):
            raise ObjectError(f"{which}: what is pinned there is no program")
        info = read_info(fd.fileno())
        kind = info.type if isinstance(info.type, ProgType) else ProgType.UNSPEC
        spec = ProgramSpec(info.name, "", ("", 0), kind, 0, "", Flag.NONE, autoload=True)
    except BaseException:
        fd.close()
        raise
    return Program(fd, spec)
