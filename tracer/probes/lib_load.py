# SPDX-License-Identifier: MIT
"""Cryptographic libraries that are mapped as code, whoever maps them.

The kernel drops other files by how their names begin; `tracer.catalog.libraries` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracer.catalog.libraries import prefixes
from tracer.probes.base import Probe

if TYPE_CHECKING:
    from pybpfload import Map

# Only that an entry is there matters.
PRESENT = 1


def prefix_key(prefix: str) -> dict[str, int | bytes]:
    """The key of `libraries`: `struct ct_library`, whose prefix is counted in bits."""
    name = prefix.encode("ascii")
    return {"prefixlen": 8 * len(name), "name": name}


def fill(maps: Mapping[str, Map]) -> None:
    """Put the catalog into the kernel's table."""
    maps["libraries"].update((prefix_key(prefix), PRESENT) for prefix in prefixes())


LIB_LOAD = Probe("lib_load", targets=fill)
