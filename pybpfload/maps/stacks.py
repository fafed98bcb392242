"""Stacks that programs have recorded with bpf_get_stackid()."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pybpfload.maps.hash import HashMap
from pybpfload.uapi import MapFlag

__all__ = ["BuildIdFrame", "StackTraces"]

FRAME = struct.Struct("=i20sQ")  # struct bpf_stack_build_id
EMPTY, VALID, ADDRESS = range(3)


class BuildIdFrame(NamedTuple):
    """Where in a file a frame of a user's stack is.

    Attributes:
        build_id: of the file; b"" when it was not to be had, and the offset is an address.
    """

    build_id: bytes
    offset: int


class StackTraces(HashMap):
    """Stacks by the id that bpf_get_stackid() gave: lists of addresses, the innermost first.

    With MapFlag.STACK_BUILD_ID they are lists of `BuildIdFrame`. Programs write them, user space reads and
    deletes.
    """

    _by_codec = False

    def _unpack_one(self, raw: bytes) -> Any:
        if self.flags & MapFlag.STACK_BUILD_ID:
            rows = FRAME.iter_unpack(raw[: len(raw) // FRAME.size * FRAME.size])
            return [BuildIdFrame(b if status == VALID else b"", at) for status, b, at in rows if status != EMPTY]
        addresses = memoryview(raw).cast("Q").tolist()
        while addresses and not addresses[-1]:
            addresses.pop()
        return addresses
