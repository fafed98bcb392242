"""The global variables of a loaded object, as they are right now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from pybpfload.errors import RecordError, printable
from pybpfload.maps.array import ArrayMap
from pybpfload.maps.base import Map
from pybpfload.maps.memory import Arena
from pybpfload.spec import Variable, Variables
from pybpfload.uapi import MapFlag

__all__ = ["LiveVariables"]


class LiveVariables(MutableMapping[str, object]):
    """Reads and writes the variables that a loaded object's programs see.

    Where the kernel lets arrays be mapped (5.5), that takes no system call. Elsewhere the whole section is
    read, and for a write also written back, so that what a program changes meanwhile may be lost.

    `const` variables can be read; they are set in the spec, before it is loaded.
    """

    def __init__(self, variables: Variables, maps: Mapping[str, Map]) -> None:
        self._variables = variables
        self._maps = maps

    def __getitem__(self, name: str) -> object:
        var = self._variables.spec(name)
        return var.codec.unpack_value(self._bytes(var))

    def _bytes(self, var: Variable) -> bytes:
        own = self._map(var)
        if isinstance(own, Arena) or (isinstance(own, ArrayMap) and own.flags & MapFlag.MMAPABLE):
            return own.memory[var.offset : var.offset + var.size]
        content: bytes = own[0]
        return content[var.offset : var.offset + var.size]

    def _map(self, var: Variable) -> Map:
        own = self._maps.get(var.map.name)
        if own is None:
            raise KeyError(f"variable `{printable(var.name)}`: its map `{printable(var.map.name)}` was not created")
        own.fileno()  # says so when it is closed
        return own

    def __setitem__(self, name: str, value: object) -> None:
        var = self._variables.spec(name)
        own = self._map(var)
        if var.map.frozen:
            raise RecordError(
                f"variable `{printable(name)}` is read-only: `{printable(var.map.name)}` was frozen when it was "
                "loaded, so set it in the spec before"
            )
        try:
            raw = var.codec.pack_value(value)
        except RecordError as error:
            raise RecordError(f"variable `{printable(name)}`: {error}") from error
        if isinstance(own, Arena) or (isinstance(own, ArrayMap) and own.flags & MapFlag.MMAPABLE):
            own.memory[var.offset : var.offset + var.size] = raw
        else:
            content = bytearray(own[0])
            content[var.offset : var.offset + var.size] = raw
            own[0] = bytes(content)

    def __delitem__(self, name: str) -> None:
        raise TypeError("variables cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
