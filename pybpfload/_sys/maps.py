"""bpf(2) for maps. Every function takes the map's name, for the message when the call fails.

Reading functions size their buffers by what the caller says: that has to be what the kernel thinks, for
it writes that much. So sizes come from the call that created the map, or from the kernel itself (`info`).
"""

from __future__ import annotations

import ctypes
import errno
from typing import NamedTuple

from pybpfload._sys import attrs
from pybpfload._sys.bpf import address_of, allocating, bpf, buffer, error_of, get_info, object_name
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import SyscallError
from pybpfload.uapi import Cmd

__all__ = [
    "ENOTSUPP",
    "Chunk",
    "create",
    "delete",
    "freeze",
    "info",
    "lookup",
    "next_key",
    "read_batch",
    "take",
    "unsupported",
    "update",
    "write_batch",
]

ENOTSUPP = 524  # the kernel's own: what an operation that a map type lacks answers
CURSOR_SIZE = 8  # at least; of some types the cursor is a key


def unsupported(error: SyscallError) -> bool:
    """Whether a call failed because the map's type has no such operation."""
    return error.errno in (ENOTSUPP, errno.EOPNOTSUPP)


def _fail(result: int, command: Cmd, name: str) -> SyscallError:
    number = -result
    writes = command in (Cmd.MAP_UPDATE_ELEM, Cmd.MAP_CREATE)  # where it may be for the value
    lacks = number == ENOTSUPP or (number == errno.EOPNOTSUPP and not writes)
    detail = "maps of this type cannot do that" if lacks else ""
    return error_of(number, f"BPF_{command.name} {name}", detail)


def _element(
    command: Cmd, fd: int, key: bytes | None, value: ctypes.Array[ctypes.c_char] | None, flags: int = 0
) -> int:
    # A null pointer in place of a key is what maps without keys want.
    raw = buffer(key) if key is not None else None
    at_key = address_of(raw) if raw is not None else 0
    at_value = address_of(value) if value is not None else 0
    return bpf(command, attrs.MapElem(fd, 0, at_key, at_value, flags))


@uninterrupted
def create(attr: attrs.MapCreate, name: str) -> Fd:
    """BPF_MAP_CREATE."""
    attr.map_name = object_name(name)
    result = allocating(Cmd.MAP_CREATE, attr)
    if result < 0:
        raise _fail(result, Cmd.MAP_CREATE, name)
    return Fd(result, f"map {name}")


def _read(command: Cmd, fd: int, name: str, key: bytes | None, size: int, given: bytes, flags: int) -> bytes | None:
    value = (ctypes.c_char * max(1, size))()
    ctypes.memmove(value, given, len(given))
    result = _element(command, fd, key, value, flags)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise _fail(result, command, name)
    return value.raw[:size]


def lookup(
    fd: int, name: str, key: bytes | None, value_size: int, *, given: bytes = b"", flags: int = 0
) -> bytes | None:
    """BPF_MAP_LOOKUP_ELEM: the value, or None when there is no such key.

    Args:
        given: what the value holds before the call: a Bloom filter looks for that.
    """
    return _read(Cmd.MAP_LOOKUP_ELEM, fd, name, key, value_size, given, flags)


def take(fd: int, name: str, key: bytes | None, value_size: int, *, flags: int = 0) -> bytes | None:
    """BPF_MAP_LOOKUP_AND_DELETE_ELEM: as `lookup`, and it is gone."""
    return _read(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, fd, name, key, value_size, b"", flags)


def update(fd: int, name: str, key: bytes | None, value: bytes, *, flags: int = 0) -> None:
    """BPF_MAP_UPDATE_ELEM."""
    result = _element(Cmd.MAP_UPDATE_ELEM, fd, key, buffer(value), flags)
    if result < 0:
        raise _fail(result, Cmd.MAP_UPDATE_ELEM, name)


def delete(fd: int, name: str, key: bytes) -> bool:
    """BPF_MAP_DELETE_ELEM: whether the key was there."""
    result = _element(Cmd.MAP_DELETE_ELEM, fd, key, None)
    if result == -errno.ENOENT:
        return False
    if result < 0:
        raise _fail(result, Cmd.MAP_DELETE_ELEM, name)
    return True


def next_key(fd: int, name: str, key: bytes | None, key_size: int) -> bytes | None:
    """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first for None; None at the end.

    For a key that is not in the map, most types give the first.
    """
    following = (ctypes.c_char * max(1, key_size))()
    result = _element(Cmd.MAP_GET_NEXT_KEY, fd, key, following)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise _fail(result, Cmd.MAP_GET_NEXT_KEY, name)
    return following.raw[:key_size]


class Chunk(NamedTuple):
    """What one batch call read.

    Attributes:
        error: 0; ENOENT at the map's end, whose entries count too; ENOSPC when not even the first bucket fits.
        keys, values: of the entries, one after the other.
        cursor: where the next call goes on.
    """

    error: int
    entries: int
    keys: bytes
    values: bytes
    cursor: bytes


def read_batch(
    fd: int,
    name: str,
    cursor: bytes | None,
    limit: int,
    *,
    key_size: int,
    value_size: int,
    remove: bool = False,
) -> Chunk:
    """BPF_MAP_LOOKUP_BATCH, or with `remove` BPF_MAP_LOOKUP_AND_DELETE_BATCH: up to `limit` entries.

    Kernel: 5.6, cb4d03ab499d.
    """
    command = Cmd.MAP_LOOKUP_AND_DELETE_BATCH if remove else Cmd.MAP_LOOKUP_BATCH
    keys, values = (ctypes.c_char * (limit * key_size))(), (ctypes.c_char * (limit * value_size))()
    room = max(CURSOR_SIZE, key_size)
    out = (ctypes.c_char * room)()
    attr = attrs.MapBatch(map_fd=fd, count=limit, keys=address_of(keys), values=address_of(values))
    attr.out_batch = address_of(out)
    if cursor is not None:
        begin = buffer(cursor)
        attr.in_batch = address_of(begin)
    result = bpf(command, attr)
    if result < 0 and result not in (-errno.ENOENT, -errno.ENOSPC):
        raise _fail(result, command, name)
    count = attr.count if result != -errno.ENOSPC else 0
    return Chunk(
        -result if result < 0 else 0,
        count,
        ctypes.string_at(keys, count * key_size),
        ctypes.string_at(values, count * value_size),
        out.raw,
    )


def write_batch(command: Cmd, fd: int, keys: bytes, values: bytes, count: int, *, flags: int = 0) -> tuple[int, int]:
    """BPF_MAP_UPDATE_BATCH or BPF_MAP_DELETE_BATCH: errno or 0, and how many entries it got through."""
    raw, new = buffer(keys), buffer(values)
    attr = attrs.MapBatch(map_fd=fd, count=count, keys=address_of(raw), values=address_of(new), elem_flags=flags)
    result = bpf(command, attr)
    # A call that was refused as such leaves the count alone.
    done = attr.count if not (result < 0 and attr.count == count) else 0
    return (-result if result < 0 else 0), done


def freeze(fd: int, name: str) -> None:
    """BPF_MAP_FREEZE: no more writes from user space. Kernel: 5.2."""
    result = bpf(Cmd.MAP_FREEZE, attrs.MapElem(map_fd=fd))
    if result < 0:
        raise _fail(result, Cmd.MAP_FREEZE, name)


def info(fd: int) -> attrs.MapInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a map."""
    info = attrs.MapInfo()
    get_info(fd, info, "map")
    return info
