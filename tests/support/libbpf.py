"""libbpf as an oracle: what it makes of an object, seen at the system calls. See tests/oracle/driver."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.gates import require_tool
from tests.support.kernels import Target
from tests.support.loads import Loads, from_libbpf

SOURCES = Path(__file__).resolve().parent.parent / "oracle" / "driver"


class DriverError(Exception):
    """libbpf itself came to an end."""


def build_driver(library: Path, output: Path) -> Path:
    """Compile the driver with the headers and the libbpf.a of a folder."""
    sources = sorted(map(str, SOURCES.glob("*.c")))
    options = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{library / 'include'}"]
    libraries = [str(library / "libbpf.a"), "-lelf", "-lz", "-ldl"]
    subprocess.run([require_tool("gcc"), *options, "-o", str(output), *sources, *libraries], check=True)
    return output


def loads_of(driver: Path, path: Path, target: Target) -> Loads:
    """What libbpf asks of a kernel for an object.

    Raises:
        DriverError: it crashed.
    """
    command = [
        str(driver),
        f"--btf={target.folder / 'vmlinux'}",
        *[f"--module={name}={file}" for name, file in target.modules.items()],
        f"--kallsyms={target.kallsyms}",
        f"--kconfig={target.kconfig}",
        f"--release={target.release}",
        str(path),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise DriverError(f"libbpf_driver: exit status {done.returncode}: {done.stderr}")
    return from_libbpf([json.loads(line) for line in done.stdout.splitlines()])
