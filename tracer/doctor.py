# SPDX-License-Identifier: MIT
"""What this host allows: each check on its own, and each probe loaded and attached for a moment.

The probes are told to look at this process alone, so nothing is recorded and nobody is slowed down.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from tracer.clock import utc_text
from tracer.documents import VERSION
from tracer.errors import KernelError, LoadError, NoPrivilegeError, TracerError
from tracer.log import WARNINGS, Log
from tracer.manager import EbpfManager
from tracer.objects import architecture
from tracer.probes import PROBES
from tracer.proc import capabilities, find
from tracer.proc.target import pid_namespace
from tracer.settings import Settings

if TYPE_CHECKING:
    from tracer.loaded import ProbeState

BTF = "/sys/kernel/btf/vmlinux"
TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
LOCKDOWN = "/sys/kernel/security/lockdown"
IO_URING = "/proc/sys/kernel/io_uring_disabled"  # since 6.6
# There is one of them if the kernel runs 32-bit programs.
COMPAT = ("/proc/sys/abi/vsyscall32", "/proc/sys/abi/cp15_barrier")

# What is missing if a check fails, by the exit code that it has.
EXITS = {"capabilities": NoPrivilegeError, "btf": KernelError, "architecture": KernelError}


class Check(NamedTuple):
    """One thing that was looked at.

    Attributes:
        needed: whether nothing works without it.
        found: what there is.
        remedy: what would help, or "".
    """

    name: str
    ok: bool
    needed: bool
    found: str
    remedy: str = ""


def checks(token: str) -> list[Check]:
    """All but the probes."""
    return [
        _capabilities(token),
        *_wished(),
        _architecture(),
        _btf(),
        _lockdown(),
        _seccomp(),
        _sysctl(),
        _tracefs(),
        _pid_namespace(),
        _cgroup(),
        _io_uring(),
        _compat(),
    ]


def _capabilities(token: str) -> Check:
    try:
        missing = capabilities.missing(capabilities.effective())
    except TracerError as error:
        return Check("capabilities", False, True, str(error), error.hint)
    if missing and token:
        return Check("capabilities", True, True, f"not needed: the token of {token} is used")
    if missing:
        return Check("capabilities", False, True, *capabilities.explain(missing))
    return Check("capabilities", True, True, f"{' and '.join(capabilities.NEEDED)} are there")


def _wished() -> Iterable[Check]:
    try:
        mask = capabilities.effective()
    except TracerError:
        return
    for text in capabilities.lacks(mask):
        yield Check("wished_capability", False, False, text, "run as root, or add this capability")


def _architecture() -> Check:
    machine = os.uname().machine
    try:
        return Check("architecture", True, True, f"{machine}: objects for {architecture()}")
    except KernelError as error:
        return Check("architecture", False, True, str(error), "use x86-64 or arm64")


def _btf() -> Check:
    try:
        size = os.stat(BTF).st_size
    except OSError as error:
        remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF; those of distributions since 2020 are"
        return Check("btf", False, True, f"{BTF}: {error.strerror}", remedy)
    return Check("btf", True, True, f"{BTF}: {size} bytes")


def _lockdown() -> Check:
    text = _read(LOCKDOWN)
    mode = text.partition("[")[2].partition("]")[0] or "none"
    if mode == "confidentiality":
        return Check("lockdown", False, False, mode, "boot with lockdown=integrity: BPF may read no memory here")
    return Check("lockdown", True, False, mode)


def _seccomp() -> Check:
    rows = [line.split() for line in _read("/proc/self/status").splitlines() if line.startswith("Seccomp:")]
    mode = rows[0][1] if rows else "0"
    if mode != "0":
        remedy = (
            "if probes are off: let the filter allow bpf(2), as Docker 23, containerd 1.6 and podman 5 do with CAP_BPF"
        )
        return Check("seccomp", False, False, f"mode {mode}", remedy)
    return Check("seccomp", True, False, "no filter")


def _sysctl() -> Check:
    found = _read("/proc/sys/kernel/unprivileged_bpf_disabled").strip() or "unknown"
    return Check("sysctl", True, False, f"kernel.unprivileged_bpf_disabled = {found}: with CAP_BPF it does not matter")


def _tracefs() -> Check:
    path = next((path for path in TRACEFS if os.path.exists(f"{path}/uprobe_events")), "")
    if not path:
        remedy = "kernels before 6.6 may need it: mount -t tracefs tracefs /sys/kernel/tracing"
        return Check("tracefs", False, False, "not mounted, or not to be read", remedy)
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return Check("tracefs", False, False, f"{path}: read-only", "kernels before 6.6 may write to it: mount it rw")
    return Check("tracefs", True, False, path)


def _pid_namespace() -> Check:
    if pid_namespace():
        remedy = "to see all processes of the host, run with its ids: hostPID: true, --pid=host"
        return Check("pid_namespace", False, False, "one of its own: only processes in it are shown", remedy)
    return Check("pid_namespace", True, False, "that of the host")


def _cgroup() -> Check:
    mount = find.cgroup_mount()
    if not mount:
        return Check(
            "cgroup", False, False, "no mount of cgroup2", "without one, --cgroup and the probe `wire` do not work"
        )
    return Check("cgroup", True, False, f"cgroup2 at {mount}")


def _io_uring() -> Check:
    """Opens through io_uring are no system calls: the probe for opens does not see them."""
    mode = _read(IO_URING).strip()
    if mode == "2":
        return Check("io_uring", True, False, "nobody can use it")
    remedy = "if nothing needs it: sysctl kernel.io_uring_disabled=2" if mode else ""
    return Check("io_uring", False, False, "files that are opened through it are not seen", remedy)


def _compat() -> Check:
    """System calls of 32-bit programs have other numbers."""
    if not any(map(os.path.exists, COMPAT)):
        return Check("32_bit", True, False, "no 32-bit programs can run")
    return Check("32_bit", False, False, "files that 32-bit programs open are not seen; libraries that they load are")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def probe_states(token: str) -> list[ProbeState]:
    """How each probe does when it is loaded and attached.

    Raises:
        TracerError: none can be tried.
    """
    own = os.getpid()
    settings = Settings(own_pid=own, pid=own, tree=(own,), pid_ns=pid_namespace(), deep=True, token=token)
    with EbpfManager.create(PROBES, settings, Log(WARNINGS, io.StringIO())) as manager:
        try:
            manager.load_programs()
            manager.attach_programs()
        except TracerError:
            pass  # the states say why
        return manager.states


def examine(token: str = "") -> tuple[dict[str, Any], int]:
    """The document, see `tracer.documents.DOCTOR`, and the exit code that fits."""
    found = checks(token)
    failed = [check.name for check in found if check.needed and not check.ok]
    states: list[ProbeState] = []
    code = EXITS[failed[0]].exit_code if failed else 0
    if not failed:
        try:
            states = probe_states(token)
        except TracerError as error:
            found.append(Check("probes", False, True, str(error), error.hint))
            code = error.exit_code
    ready = not code and all(state.on for state in states)
    host = os.uname()
    document = {
        "doctor_version": VERSION,
        "generated_at": utc_text(time.time_ns()),
        "kernel": host.release,
        "machine": host.machine,
        "ready": ready,
        "checks": [{**check._asdict(), "remedy": check.remedy or None} for check in found],
        "probes": [
            {
                "name": state.probe,
                "on": state.on,
                "ways": sorted(state.ways),
                "reason": state.reason or None,
                "remedy": state.remedy or None,
                "needs": list(state.needs),
            }
            for state in states
        ],
    }
    return document, code or (0 if ready else LoadError.exit_code)


def summary(document: dict[str, Any]) -> Iterable[str]:
    """The document as text."""
    yield f"Linux {document['kernel']} {document['machine']}"
    yield ""
    for row in document["checks"]:
        word = "ok" if row["ok"] else "MISSING" if row["needed"] else "note"
        yield f"  {word:<8} {row['name']}: {row['found']}"
        if row["remedy"]:
            yield f"           hint: {row['remedy']}"
    if document["probes"]:
        yield ""
        yield "probes:"
    for row in document["probes"]:
        ways = f" ({', '.join(row['ways'])})" if row["ways"] else ""
        yield f"  {'on' if row['on'] else 'OFF':<8} {row['name']}{ways}{': ' + row['reason'] if row['reason'] else ''}"
        if row["remedy"]:
            yield f"           hint: {row['remedy']}"
    yield ""
    yield "all probes can run" if document["ready"] else "not all probes can run: see above"
