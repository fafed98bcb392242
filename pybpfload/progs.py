"""Programs: loaded through the verifier."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence

from pybpfload._sys import attrs, bpf
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload.errors import PrivilegeError, VerifierError, printable
from pybpfload.linker import LinkedProgram
from pybpfload.maps import Map
from pybpfload.spec import ProgramSpec

__all__ = ["Program", "load_program"]

LOG_START = 1 << 16
LOG_MAX = 1 << 26
FUNC_RECORD, LINE_RECORD = struct.Struct("=II"), struct.Struct("=IIII")


class Program:
    """A program in the kernel; owns its file descriptor.

    Attributes:
        spec: what it was loaded from.
        maps: its object's.
    """

    def __init__(self, fd: Fd, spec: ProgramSpec) -> None:
        self._fd = fd
        self.spec = spec
        self.name = spec.name
        self.maps: Mapping[str, Map] = {}

    def __repr__(self) -> str:
        return f"<Program {printable(self.name)} {self.spec.type.name}{' closed' if self._fd.closed else ''}>"

    def fileno(self) -> int:
        """The file descriptor's number. It stays the program's own."""
        return self._fd.fileno()

    def close(self) -> None:
        """Give the program up; links keep it running. Closing twice does nothing."""
        self._fd.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _info(record: struct.Struct, rows: list[tuple[int, ...]]) -> bytes:
    return b"".join([record.pack(*row) for row in rows])


def load_program(
    spec: ProgramSpec,
    linked: LinkedProgram,
    *,
    license: str,
    btf_fd: int = -1,
    attach_btf_id: int = 0,
    attach_module_fd: int = 0,
    fd_array: Sequence[int] = (),
    attach_type: int = 0,
    flags: int = 0,
    kernel_version: int = 0,
) -> Program:
    """Load a program whose references are all filled in.

    The first try asks for no log, which is fast. When it fails, a second one collects the whole log,
    in a buffer that grows until the log fits.

    Raises:
        VerifierError: with the errno of the first try.
        PrivilegeError: refused before the verifier looked.
    """
    attr = attrs.ProgLoad(prog_type=spec.type, insn_cnt=len(linked.code) // 8, prog_flags=flags)
    code, text = bpf.buffer(bytes(linked.code)), bpf.buffer(license.encode("ascii", "replace") + b"\0")
    attr.insns, attr.license = bpf.address_of(code), bpf.address_of(text)
    attr.expected_attach_type, attr.attach_btf_id, attr.kern_version = (
        attach_type,
        attach_btf_id,
        kernel_version,
    )
    attr.keep(code, text)
    if btf_fd >= 0 and linked.func_info:
        funcs = bpf.buffer(_info(FUNC_RECORD, list(linked.func_info)))
        lines = bpf.buffer(_info(LINE_RECORD, list(linked.line_info)))
        attr.prog_btf_fd = btf_fd
        attr.func_info, attr.func_info_cnt = bpf.address_of(funcs), len(linked.func_info)
        attr.line_info, attr.line_info_cnt = bpf.address_of(lines), len(linked.line_info)
        attr.func_info_rec_size, attr.line_info_rec_size = FUNC_RECORD.size, LINE_RECORD.size
        attr.keep(funcs, lines)
    attr.attach_prog_fd = attach_module_fd
    if len(fd_array) > 1:
        fds = bpf.buffer(struct.pack(f"={len(fd_array)}i", *fd_array))
        attr.fd_array = bpf.address_of(fds)
        attr.keep(fds)
    what = f"BPF_PROG_LOAD {spec.name}"
    result, _ = sys_progs.load(attr, spec.name)
    if result >= 0:
        return Program(Fd(result, f"program {spec.name}"), spec)
    raise _failure(attr, spec, linked, -result, what)


def _failure(attr: attrs.ProgLoad, spec: ProgramSpec, linked: LinkedProgram, first: int, what: str) -> Exception:
    size, log = LOG_START, ""
    while size <= LOG_MAX:
        again, log = sys_progs.load(attr, spec.name, log_size=size)
        if again >= 0:
            # The kernel changed its mind: what was in its way the first time is gone.
            Fd(again, "program").close()
            break
        if again != -errno.ENOSPC:
            break
        size = max(size * 4, attr.log_true_size)
    if not log.strip() and first in (errno.EPERM, errno.EACCES):
        return PrivilegeError(first, what)
    return VerifierError(first, what, log, spec.name, _notes(log, linked))


def _notes(log: str, linked: LinkedProgram) -> tuple[str, ...]:
    """The relocation behind a poisoned instruction, which the log only shows as a strange number."""
    if "195896080" not in log and "0xbad2310" not in log:
        return ()
    notes = []
    for relo in linked.relocations:
        if relo.poisoned and any(line.startswith(f"{relo.slot}: ") for line in log.splitlines()):
            note = f"insn {relo.slot} needs {relo.resolution.local_access}, which this kernel has not"
            notes.append(note + (f" ({relo.line})" if relo.line else ""))
    return tuple(notes)


def attach_name(spec: ProgramSpec) -> str | None:
    """The kernel's BTF name of what a program attaches to, or None when it is not attached by BTF."""
    prefix = {"tp_btf": "btf_trace_", "lsm": "bpf_lsm_", "lsm_cgroup": "bpf_lsm_", "iter": "bpf_iter_"}
    head = spec.section.partition("/")[0].partition(".s")[0]
    return prefix.get(head, "") + spec.target
