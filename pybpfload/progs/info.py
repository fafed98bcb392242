"""What the kernel tells about programs."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

from pybpfload._sys import attrs, ids
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.uapi import ProgType

__all__ = ["ProgramInfo", "ProgramStats", "RunStats", "list_programs", "read_info"]


class ProgramStats(NamedTuple):
    """How often a program ran, and how long, while statistics were on (`RunStats`).

    Attributes:
        recursion_misses: how often it did not run because it was running on that CPU already. Counted always.
    """

    run_count: int
    run_time_ns: int
    recursion_misses: int


class ProgramInfo(NamedTuple):
    """What the kernel tells about a program.

    Attributes:
        type: a ProgType, or a plain number that is newer than this library.
        name: at most 15 characters.
        tag: 16 hexadecimal digits: the same for the same code, maps left out.
        loaded_ns: when it was loaded, in nanoseconds since boot; `loaded_at` is the same as Unix time.
        uid: who loaded it.
        map_ids: the maps that it uses.
        btf_id: of its own BTF, or 0.
        attach_btf_id: what it attaches to, in the kernel's BTF or that of `attach_btf_obj_id`; or 0.
        size: of its code as the verifier left it, in bytes; 0 when this process may not know.
        jited_size: of its machine code, in bytes; 0 as well when there is none.
        verified_insns: how many instructions the verifier looked at; 0 before Linux 5.16.
    """

    id: int
    type: int
    name: str
    tag: str
    gpl_compatible: bool
    loaded_ns: int
    uid: int
    map_ids: tuple[int, ...]
    btf_id: int
    attach_btf_obj_id: int
    attach_btf_id: int
    size: int
    jited_size: int
    verified_insns: int
    stats: ProgramStats

    @property
    def loaded_at(self) -> float:
        """Seconds since 1970."""
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + self.loaded_ns / 1e9


def read_info(fd: int) -> ProgramInfo:
    """What the kernel tells about the program behind a file descriptor."""
    raw, arrays = sys_progs.info_arrays(fd, "map_ids")
    return ProgramInfo(
        id=raw.id,
        type=ProgType(raw.type) if raw.type in ProgType._value2member_map_ else raw.type,
        name=raw.name.decode("ascii", "replace"),
        tag=bytes(raw.tag).hex(),
        gpl_compatible=bool(raw.gpl_compatible & 1),
        loaded_ns=raw.load_time,
        uid=raw.created_by_uid,
        map_ids=tuple(array("I", arrays["map_ids"])),
        btf_id=raw.btf_id,
        attach_btf_obj_id=raw.attach_btf_obj_id,
        attach_btf_id=raw.attach_btf_id,
        size=raw.xlated_prog_len,
        jited_size=raw.jited_prog_len,
        verified_insns=raw.verified_insns,
        stats=stats_of(raw),
    )


def stats_of(raw: attrs.ProgInfo) -> ProgramStats:
    """The counters."""
    return ProgramStats(raw.run_cnt, raw.run_time_ns, raw.recursion_misses)


def list_programs() -> Iterator[ProgramInfo]:
    """Every program in the kernel. Those that go away meanwhile are left out.

    Raises:
        PrivilegeError: it takes CAP_SYS_ADMIN.

    Kernel: 4.13, 34ad5580f8f9.
    """
    for fd in ids.each("program"):
        yield read_info(fd.fileno())


class RunStats:
    """Statistics of all programs are taken for as long as it is open.

    ::

        with pybpfload.RunStats():
            ...
        print(program.stats())

    Each run of each program then costs some 20 ns more.

    Raises:
        PrivilegeError: it takes CAP_SYS_ADMIN.

    Kernel: 5.8, d46edd671a14.
    """

    def __init__(self) -> None:
        self._fd: Fd = sys_progs.enable_stats()

    def close(self) -> None:
        """Count no more, unless somebody else wants it counted. Closing twice does nothing."""
        self._fd.close()

    def __enter__(self) -> RunStats:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
