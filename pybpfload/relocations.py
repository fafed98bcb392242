"""CO-RE relocations as users see them: one at a time, in lists that take no memory of their own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from pybpfload.core import Resolution

__all__ = ["Relocation", "Relocations"]


class Relocation(NamedTuple):
    """One CO-RE relocation of a program: as it was decided, or before that, with `resolution.target` None.

    Attributes:
        slot: of its instruction, in the whole program.
        function: that holds it.
        line: the source line, or "".
        poisoned: the instruction was replaced by a call that no verifier accepts.
    """

    program: str
    function: str
    slot: int
    line: str
    resolution: Resolution
    poisoned: bool


class Relocations(Sequence[Relocation]):
    """The relocations of one or more programs, in the order of the code.

    Programs share functions, and an object of a megabyte can have a thousand programs that share one with thousands of
    relocations. So each function's are kept once; what a program adds, its name and the slot, is put in when they are
    looked at.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[str, int, Sequence[Relocation]]] = []
        self._ends: list[int] = []

    def add(self, program: str, start: int, relocations: Sequence[Relocation]) -> None:
        """The relocations of a function, which begins at slot `start` of a program."""
        if relocations:
            self._parts.append((program, start, relocations))
            self._ends.append(len(self) + len(relocations))

    def extend(self, others: Relocations) -> None:
        """All of another list."""
        for part in others._parts:
            self.add(*part)

    def clear(self) -> None:
        """Forget all: they hold on to types, which are large."""
        self._parts.clear()
        self._ends.clear()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Relocations):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other))

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Relocation]:
        for program, start, relocations in self._parts:
            for relocation in relocations:
                yield relocation._replace(program=program, slot=start + relocation.slot)

    @overload
    def __getitem__(self, index: int) -> Relocation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Relocation]: ...
    def __getitem__(self, index: int | slice) -> Relocation | Sequence[Relocation]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"relocation {index} of {len(self)}")
        number = bisect_right(self._ends, at)
        program, start, relocations = self._parts[number]
        relocation = relocations[at - self._ends[number] + len(relocations)]
        return relocation._replace(program=program, slot=start + relocation.slot)

    def __repr__(self) -> str:
        return f"<{len(self)} relocations>"
