# SPDX-License-Identifier: MIT
"""The compiled BPF objects, wherever the program was installed.

They lie in `_objects/<arch>/` beside this module, in an installed package as in the single file, and
are read through the loader of the package, so nothing is unpacked. A checkout has them in
`bpf/objects/<arch>/`.
"""

from __future__ import annotations

import os
from typing import Any

from tracer.errors import KernelError, TracerError

# As `uname -m` says it: as the directories are called.
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def architecture(machine: str = "") -> str:
    """The directory name for a machine, for this one if none is named.

    Raises:
        KernelError: there are no objects for such a machine.
    """
    machine = machine or os.uname().machine
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        expected = ", ".join(dict.fromkeys(ARCHITECTURES.values()))
        raise KernelError(f"no BPF objects for machine `{machine}`: expected {expected}") from None


def read(name: str, *, machine: str = "") -> bytes:
    """The bytes of one object.

    Args:
        name: without the ending: ``file_open_trace``.
        machine: as `uname -m` has it; this machine's if empty.

    Raises:
        TracerError: it is not there.
        KernelError: there are no objects for such a machine.
    """
    import tracer

    tail = os.path.join(architecture(machine), f"{name}.bpf.o")
    loader: Any = __spec__.loader
    packages = list(tracer.__path__)
    candidates = [os.path.join(package, "_objects", tail) for package in packages]
    candidates += [os.path.join(os.path.dirname(package), "bpf", "objects", tail) for package in packages]
    for path in candidates:
        try:
            data: bytes = loader.get_data(path)
        except OSError:
            continue  # the next place
        return data
    raise TracerError(f"BPF object {tail}: not found in {candidates[0]}", hint="install crypto-tracer again")
