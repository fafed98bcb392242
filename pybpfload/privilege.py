"""Why the kernel said no: what this process lacks, or what forbids what it wants.

The kernel says only EPERM. Everything that can be behind it is looked up in /proc: capabilities, the
user namespace they count in, sysctls, lockdown, seccomp, the limit of locked memory. Nothing is tried.

Source: capabilities(7); kernel/bpf/syscall.c, bpf_prog_load(), is_net_admin_prog_type(),
is_perfmon_prog_type(); Documentation/admin-guide/sysctl/kernel.rst.
"""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from pybpfload.uapi import ProgType

__all__ = ["Privileges", "explain", "hindrances", "read_privileges"]

PROC = "/proc"
LOCKDOWN = "/sys/kernel/security/lockdown"
NET_ADMIN, SYS_ADMIN, SYS_RESOURCE, SYSLOG, PERFMON, BPF = 12, 21, 24, 34, 38, 39
NAMES = {
    NET_ADMIN: "CAP_NET_ADMIN", SYS_ADMIN: "CAP_SYS_ADMIN", SYS_RESOURCE: "CAP_SYS_RESOURCE",
    SYSLOG: "CAP_SYSLOG", PERFMON: "CAP_PERFMON", BPF: "CAP_BPF",
}  # fmt: skip
# Programs that look into the kernel, and those that change the network's traffic.
TRACING = (
    ProgType.KPROBE, ProgType.TRACEPOINT, ProgType.PERF_EVENT, ProgType.RAW_TRACEPOINT,
    ProgType.RAW_TRACEPOINT_WRITABLE, ProgType.TRACING, ProgType.LSM, ProgType.STRUCT_OPS, ProgType.EXT,
)  # fmt: skip
NETWORK = (
    ProgType.SCHED_CLS, ProgType.SCHED_ACT, ProgType.XDP, ProgType.LWT_IN, ProgType.LWT_OUT, ProgType.LWT_XMIT,
    ProgType.LWT_SEG6LOCAL, ProgType.SK_SKB, ProgType.SK_MSG, ProgType.FLOW_DISSECTOR, ProgType.CGROUP_DEVICE,
    ProgType.CGROUP_SOCK, ProgType.CGROUP_SOCK_ADDR, ProgType.CGROUP_SOCKOPT, ProgType.CGROUP_SYSCTL,
    ProgType.SOCK_OPS, ProgType.EXT, ProgType.SK_LOOKUP, ProgType.NETFILTER, ProgType.CGROUP_SKB,
)  # fmt: skip
# Calls that take CAP_SYS_ADMIN, whatever else there is: they reach what others made.
OF_OTHERS = ("GET_FD_BY_ID", "GET_NEXT_ID", "ENABLE_STATS", "TASK_FD_QUERY")
# What everybody may do unless sysctl kernel.unprivileged_bpf_disabled is set: of other programs it says nothing.
UNPRIVILEGED = (None, ProgType.SOCKET_FILTER, ProgType.CGROUP_SKB)
# EPERM that no capability changes.
OF_THE_OBJECT = {
    "BPF_MAP_UPDATE_ELEM": "the map may be frozen (BPF_MAP_FREEZE), or read-only from here (BPF_F_RDONLY)",
    "BPF_MAP_DELETE_ELEM": "the map may be frozen (BPF_MAP_FREEZE), or read-only from here (BPF_F_RDONLY)",
    "BPF_MAP_UPDATE_BATCH": "the map may be frozen (BPF_MAP_FREEZE), or read-only from here (BPF_F_RDONLY)",
    "BPF_MAP_DELETE_BATCH": "the map may be frozen (BPF_MAP_FREEZE), or read-only from here (BPF_F_RDONLY)",
    "BPF_MAP_LOOKUP_ELEM": "the map may be write-only from here (BPF_F_WRONLY)",
    "BPF_OBJ_PIN": "pins take a bpffs: mount -t bpf bpf DIRECTORY",
}
SECCOMP_FILTER = 2
WHOLE_RANGE = "4294967295"


class Privileges(NamedTuple):
    """What this process may, and what the kernel was told to forbid. None: it does not say.

    Attributes:
        capabilities: the effective ones, a bit for each.
        last_capability: the highest that this kernel knows; before 5.8, there were no CAP_BPF and CAP_PERFMON.
        own_namespace: whether its capabilities count only within a user namespace.
        unprivileged_bpf: sysctl kernel.unprivileged_bpf_disabled: 0 allowed, 1 forbidden for good, 2 forbidden.
        perf_paranoid: sysctl kernel.perf_event_paranoid.
        kptr_restrict: sysctl kernel.kptr_restrict.
        lockdown: ``none``, ``integrity`` or ``confidentiality``.
        seccomp: whether a filter looks at its system calls.
        memlock: the limit of locked memory in bytes; -1 is none.
    """

    uid: int
    capabilities: int
    last_capability: int
    own_namespace: bool
    unprivileged_bpf: int | None
    perf_paranoid: int | None
    kptr_restrict: int | None
    lockdown: str | None
    seccomp: bool
    memlock: int

    def has(self, *capabilities: int) -> bool:
        """Whether it has one of these."""
        return any(self.capabilities >> one & 1 for one in capabilities)


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def _number(path: str) -> int | None:
    text = _read(path)
    return int(text) if text is not None else None


def read_privileges() -> Privileges:
    """As things are now."""
    status = dict(line.split(":", 1) for line in (_read(f"{PROC}/self/status") or "").splitlines() if ":" in line)
    sysctl = f"{PROC}/sys/kernel"
    locked = _read(LOCKDOWN)
    return Privileges(
        uid=os.geteuid(),
        capabilities=int(status.get("CapEff", "0"), 16),
        last_capability=_number(f"{sysctl}/cap_last_cap") or 0,
        own_namespace=WHOLE_RANGE not in (_read(f"{PROC}/self/uid_map") or WHOLE_RANGE).split(),
        unprivileged_bpf=_number(f"{sysctl}/unprivileged_bpf_disabled"),
        perf_paranoid=_number(f"{sysctl}/perf_event_paranoid"),
        kptr_restrict=_number(f"{sysctl}/kptr_restrict"),
        lockdown=locked[locked.index("[") + 1 : locked.index("]")] if locked and "[" in locked else None,
        seccomp=int(status.get("Seccomp", "0")) == SECCOMP_FILTER,
        memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
    )


def hindrances(call: str, prog_type: ProgType | None = None, *, now: Privileges | None = None) -> list[str]:
    """Everything that may be why a call was refused, the likeliest first; empty when nothing is known.

    Args:
        call: ``BPF_PROG_LOAD``, ``perf_event_open``; more words may follow.
        prog_type: of the program that was to be loaded.
        now: what the process may; looked up when None.
    """
    now = now or read_privileges()
    command = call.split(" ", 1)[0]
    found = [*_capabilities(command, prog_type, now), *_settings(command, prog_type, now)]
    if not found and command in ("BPF_MAP_CREATE", "BPF_PROG_LOAD") and 0 <= now.memlock < 1 << 20:
        found.append(f"the limit of locked memory is {now.memlock} bytes (ulimit -l), which kernels before 5.11 count")
    if not found and command in OF_THE_OBJECT:
        found.append(OF_THE_OBJECT[command])
    if now.seccomp:
        found.append("a seccomp filter looks at this process's system calls: a container's profile has to allow bpf")
    return found


def _capabilities(command: str, prog_type: ProgType | None, now: Privileges) -> list[str]:
    wanted = []
    split = now.last_capability >= BPF
    if command.endswith(OF_OTHERS):
        wanted = [SYS_ADMIN]
    elif command.startswith("BPF_"):
        wanted = [BPF if split else SYS_ADMIN]
        if command == "BPF_PROG_LOAD" and split and (prog_type is None or prog_type in TRACING):
            wanted.append(PERFMON)
        if command == "BPF_PROG_LOAD" and prog_type in NETWORK:
            wanted.append(NET_ADMIN)
    elif command == "perf_event_open":
        wanted = [PERFMON if split else SYS_ADMIN]
    elif command == "/proc/kallsyms":
        wanted = [SYSLOG]
    # CAP_SYS_ADMIN contains the two that were split off from it.
    missing = [NAMES[one] for one in wanted if not now.has(one, *[SYS_ADMIN] * (one in (BPF, PERFMON)))]
    if missing:
        instead = ", nor CAP_SYS_ADMIN" if {"CAP_BPF", "CAP_PERFMON"} & set(missing) else ""
        return [f"this process (uid {now.uid}) has no {' and no '.join(missing)}{instead}"]
    if now.own_namespace:
        return ["this process has its capabilities only within a user namespace; a BPF token can delegate them"]
    return []


def _settings(command: str, prog_type: ProgType | None, now: Privileges) -> list[str]:
    found = []
    everybody = prog_type in UNPRIVILEGED and not command.endswith(OF_OTHERS)
    if command.startswith("BPF_") and everybody and now.unprivileged_bpf and not now.has(BPF, SYS_ADMIN):
        found.append(f"sysctl kernel.unprivileged_bpf_disabled is {now.unprivileged_bpf}")
    if command == "perf_event_open" and (now.perf_paranoid or 0) > -1 and not now.has(PERFMON, SYS_ADMIN):
        found.append(f"sysctl kernel.perf_event_paranoid is {now.perf_paranoid}; tracing all processes takes -1")
    if command == "/proc/kallsyms" and now.kptr_restrict:
        found.append(f"sysctl kernel.kptr_restrict is {now.kptr_restrict}: 0 shows addresses")
    if now.lockdown not in (None, "none"):
        found.append(f"the kernel is locked down ({now.lockdown}): it keeps programs from reading its memory")
    if not found and command == "BPF_PROG_LOAD" and prog_type in (ProgType.TRACING, ProgType.LSM, ProgType.EXT):
        if now.has(SYS_ADMIN) and not now.own_namespace:
            found.append("no capability is missing: this kernel was built or told not to allow programs of this kind")
    return found


def explain(call: str, prog_type: ProgType | None = None) -> str:
    """One line for people: why a call may have been refused; "" when nothing is known."""
    return "; ".join(hindrances(call, prog_type))
