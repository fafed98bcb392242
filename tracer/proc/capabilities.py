# SPDX-License-Identifier: MIT
"""What this process may do, and what tracing needs."""

from __future__ import annotations

import os

from tracer.errors import TracerError

# include/uapi/linux/capability.h
CAP_SYS_ADMIN = 21
CAP_PERFMON = 38
CAP_BPF = 39

CAP_DAC_READ_SEARCH = 2
CAP_SYS_PTRACE = 19
CAP_CHECKPOINT_RESTORE = 40

CAP_SETGID, CAP_SETUID = 6, 7

# What it takes to become another user.
FOR_USER = {"CAP_SETUID": CAP_SETUID, "CAP_SETGID": CAP_SETGID}

NEEDED = {"CAP_BPF": CAP_BPF, "CAP_PERFMON": CAP_PERFMON}

# What is lost without them is said, but the tracer goes on.
WISHED = {
    "CAP_SYS_PTRACE": (CAP_SYS_PTRACE, "executables and libraries of other users' processes are unknown"),
    "CAP_DAC_READ_SEARCH": (CAP_DAC_READ_SEARCH, "libraries that only their owner may read are not looked into"),
}

# All that is of use once the probes are on: libraries that appear later are attached to, /proc is read, counters too;
# the last one opens files in /proc/PID/map_files, which deleted libraries are read through.
KEPT = sum(1 << bit for bit in (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_CHECKPOINT_RESTORE))


def effective(status: str = "/proc/self/status") -> int:
    """The effective capabilities, one bit for each.

    Raises:
        TracerError: there is no /proc.
    """
    try:
        with open(status, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except OSError as error:
        raise TracerError(
            f"cannot read {status}: {error.strerror}", hint="mount /proc: mount -t proc proc /proc"
        ) from error
    raise TracerError(f"{status}: no line `CapEff:`", hint="mount /proc: mount -t proc proc /proc")


def lacks(mask: int) -> list[str]:
    """What is lost for each capability that would be of use and that `mask` lacks."""
    return [f"without {name}, {loss}" for name, (bit, loss) in WISHED.items() if not mask >> bit & 1]


def missing(mask: int) -> list[str]:
    """Names of the capabilities that tracing needs and `mask` lacks.

    CAP_SYS_ADMIN contains them all; before Linux 5.8 there was nothing else.
    """
    if mask >> CAP_SYS_ADMIN & 1:
        return []
    return [name for name, bit in NEEDED.items() if not mask >> bit & 1]


def explain(names: list[str]) -> tuple[str, str]:
    """Message and hint for a process that lacks the named capabilities."""
    uid = os.geteuid()
    who = "root without them: a container, perhaps" if uid == 0 else f"uid {uid}"
    message = f"tracing needs {' and '.join(names)}; this process is {who}"
    if uid == 0:
        return message, "give the container these capabilities: --cap-add BPF,PERFMON,SYS_PTRACE,DAC_READ_SEARCH"
    return message, "run it as root: sudo crypto-tracer ..."
