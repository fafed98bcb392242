"""Per-CPU values: how many there are, how they lie in memory, and a list that can add them up.

Of each possible CPU a value takes a whole number of 8 bytes, and CPUs that are not possible are left
out: `n_cpu × round_up(value_size, 8)` bytes, CPU-major.
"""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["PerCpu", "count_cpus", "possible_cpus", "stride"]

POSSIBLE = "/sys/devices/system/cpu/possible"


def count_cpus(text: str) -> int:
    """How many CPUs a list like ``0-3`` or ``0,2-5`` names."""
    total = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


@cache
def possible_cpus() -> int:
    """How many values a per-CPU map has: CPUs that could ever come online. It never changes."""
    with open(POSSIBLE) as file:
        return count_cpus(file.read())


def stride(size: int) -> int:
    """How many bytes one CPU's value takes."""
    return -(-size // 8) * 8


class PerCpu(list[Any]):
    """One value for each possible CPU, in the order of their numbers.

    Of structs, name the member: ``values.sum("packets")``.
    """

    def _parts(self, member: str | None) -> list[Any]:
        return list(self) if member is None else [value[member] for value in self]

    def sum(self, member: str | None = None) -> Any:
        """All of them together."""
        return sum(self._parts(member))

    def max(self, member: str | None = None) -> Any:
        """The largest."""
        return max(self._parts(member))

    def min(self, member: str | None = None) -> Any:
        """The smallest."""
        return min(self._parts(member))
