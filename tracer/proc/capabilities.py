# SPDX-License-Identifier: MIT
"""What this process may do, and what tracing needs."""

from __future__ import annotations

import os

# include/uapi/linux/capability.h
CAP_SYS_ADMIN = 21
CAP_PERFMON = 38
CAP_BPF = 39

NEEDED = {"CAP_BPF": CAP_BPF, "CAP_PERFMON": CAP_PERFMON}


def effective(status: str = "/proc/self/status") -> int:
    """The effective capabilities, one bit for each."""
    with open(status, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    raise ValueError(f"{status}: no line `CapEff:`")


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
        return message, "give the container these capabilities: --cap-add BPF,PERFMON,SYS_PTRACE"
    return message, "run it as root: sudo crypto-tracer ..."
