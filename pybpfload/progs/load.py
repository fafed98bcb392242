"""Loading programs, and what the verifier says to it."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Sequence
from functools import partial

from pybpfload import insn, privilege
from pybpfload._sys import attrs, bpf
from pybpfload._sys import progs as sys_progs
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.btf.blob import Btf
from pybpfload.errors import PrivilegeError, VerifierError, printable
from pybpfload.linker import LinkedProgram
from pybpfload.progs.program import Program
from pybpfload.spec import ProgramSpec, RefKind

__all__ = ["attach_name", "load_program"]

LOG_START = 1 << 16
LOG_MAX = 1 << 26
# "12: (85) call bpf_get_current_pid_tgid#14", in any state of indentation
INSN_LINE = re.compile(r"^\s*(\d+): \([0-9a-f]{2}\) ", re.MULTILINE)
FUNC_RECORD, LINE_RECORD = struct.Struct("=II"), struct.Struct("=IIII")


def _info(record: struct.Struct, rows: list[tuple[int, ...]]) -> bytes:
    return b"".join([record.pack(*row) for row in rows])


@uninterrupted
def load_program(
    spec: ProgramSpec,
    linked: LinkedProgram,
    *,
    license: str,
    btf: Btf | None = None,
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

    Args:
        btf: the object's types, for messages; `btf_fd`: the same in the kernel, or -1.

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
        return Program(Fd(result, f"program {spec.name}"), spec, attr.insn_cnt, attach_type)
    raise _failure(attr, spec, linked, -result, what, btf)


def _failure(
    attr: attrs.ProgLoad, spec: ProgramSpec, linked: LinkedProgram, first: int, what: str, btf: Btf | None
) -> Exception:
    size, log = LOG_START, ""
    while size <= LOG_MAX:
        again, log = sys_progs.load(attr, spec.name, log_size=size)
        if again >= 0:
            # The kernel changed its mind: what was in its way the first time is gone.
            Fd(again, "program").close()
            break
        if again != -errno.ENOSPC:
            break
        # Kernels from 6.4 on say how long it is. Theirs ends where the log does; older ones cut the end off.
        size = max(size + 1, attr.log_true_size) if attr.log_true_size else size * 4
    if first in (errno.EMFILE, errno.ENFILE, errno.ENOMEM) and not _without_statistics(log):
        return bpf.error_of(first, what)  # nothing was verified
    if first in (errno.EPERM, errno.EACCES) and not _without_statistics(log):
        error = bpf.error_of(first, what)
        if isinstance(error, PrivilegeError):
            error.explain = partial(privilege.explain, what, spec.type)
        return error
    at = _last_slot(log)
    return VerifierError(
        first,
        what,
        log,
        spec.name,
        _notes(at, linked, btf),
        insn=at,
        source=_source(at, linked, btf) if at is not None else "",
    )


def _without_statistics(log: str) -> str:
    return "\n".join(
        line for line in log.splitlines() if not line.startswith(("processed ", "verification time"))
    ).strip()


def _last_slot(log: str) -> int | None:
    """The instruction that the verifier looked at last."""
    last = None
    for last in INSN_LINE.finditer(log):  # noqa: B007
        pass
    return int(last[1]) if last else None


def _source(slot: int, linked: LinkedProgram, btf: Btf | None) -> str:
    """``file.c:12: the line`` of a slot, or ""."""
    found = None
    for row in linked.line_info:
        if row[0] > slot:
            break
        found = row
    if found is None or btf is None:
        return ""
    _, file, line, number = found
    return printable(f"{btf.string(file).rsplit('/', 1)[-1]}:{number >> 10}: {btf.string(line).strip()}")


def _notes(slot: int | None, linked: LinkedProgram, btf: Btf | None) -> tuple[str, ...]:
    """Where the verifier stopped, and what stands behind an instruction that was poisoned.

    The log only shows a call with a strange number for what this kernel lacks.
    """
    if slot is None:
        return ()
    source = _source(slot, linked, btf)
    notes = [f"at insn {slot}" + (f", {source}" if source else "")]
    notes += [
        f"insn {slot} needs {relo.resolution.local_access}, which this kernel has not"
        for relo in linked.relocations
        if relo.poisoned and relo.slot == slot
    ]
    op = insn.read(linked.code, slot) if slot * insn.SLOT < len(linked.code) else None
    for ref in linked.refs:
        if ref.slot != slot or op is None or op.code != insn.CALL or op.src:
            continue
        if ref.kind is RefKind.KFUNC:
            notes.append(f"insn {slot} calls {printable(ref.name)}(), a function which this kernel has not")
        elif ref.kind in (RefKind.MAP, RefKind.DATA):
            notes.append(f"insn {slot} uses map `{printable(ref.name)}`, which was not created (autocreate is off)")
    return tuple(notes)


def attach_name(spec: ProgramSpec) -> str | None:
    """The kernel's BTF name of what a program attaches to, or None when it is not attached by BTF."""
    prefix = {"tp_btf": "btf_trace_", "lsm": "bpf_lsm_", "lsm_cgroup": "bpf_lsm_", "iter": "bpf_iter_"}
    head = spec.section.partition("/")[0].partition(".s")[0]
    return prefix.get(head, "") + spec.target
