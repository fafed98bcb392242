"""Values that belong to things of the kernel: a socket, an inode, a task, a cgroup.

Such a value lives as long as its owner, who is named by a file descriptor: of the socket, of the file, of the
cgroup's directory, or a pidfd. The kernel keeps no list of them: only a BPF iterator can go through them.
"""

from __future__ import annotations

import struct
from typing import Any

from pybpfload.errors import RecordError
from pybpfload.maps.hash import HashMap, Keyed

__all__ = ["CgroupStorage", "StorageMap"]

FD = struct.Struct("=i")


class StorageMap(Keyed):
    """One value for each owner; the key is a file descriptor, or anything that has a `fileno()`.

    The owner of a task's value is a pidfd: ``os.pidfd_open(pid)``.
    """

    def _pack_key(self, key: Any) -> bytes:
        number = key.fileno() if hasattr(key, "fileno") else key
        if isinstance(number, (bytes, bytearray)):
            return super()._pack_key(number)
        if not isinstance(number, int) or isinstance(number, bool):
            raise RecordError(f"{self._label}: key {key!r} is no file descriptor")
        return FD.pack(number)

    def __iter__(self) -> Any:
        raise TypeError(f"{self._label}: the kernel keeps no list of the owners; a BPF iterator can go through them")


class CgroupStorage(HashMap):
    """One value for each cgroup, or pair of cgroup and attach type, that a program with this map is attached to.

    Attaching and detaching makes and removes entries: from here they can only be read and written.
    """
