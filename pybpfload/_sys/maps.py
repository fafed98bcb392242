"""bpf(2) for maps."""

from __future__ import annotations

import ctypes
import errno

from pybpfload._sys import attrs
from pybpfload._sys.bpf import address_of, allocating, bpf, buffer, error_of, get_info, object_name
from pybpfload._sys.fd import Fd
from pybpfload.uapi import Cmd

__all__ = [
    "create",
    "delete",
    "freeze",
    "info",
    "lookup",
    "next_key",
    "update",
]


def create(attr: attrs.MapCreate, name: str) -> Fd:
    """BPF_MAP_CREATE."""
    attr.map_name = object_name(name)
    result = allocating(Cmd.MAP_CREATE, attr)
    if result < 0:
        raise error_of(-result, f"BPF_MAP_CREATE {name}")
    return Fd(result, f"map {name}")


def lookup(fd: int, key: bytes, value_size: int, flags: int = 0) -> bytes | None:
    """BPF_MAP_LOOKUP_ELEM: the value, or None when there is no such key."""
    raw, value = buffer(key), (ctypes.c_char * value_size)()
    attr = attrs.MapElem(map_fd=fd, key=address_of(raw), value=address_of(value), flags=flags)
    result = bpf(Cmd.MAP_LOOKUP_ELEM, attr)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise error_of(-result, "BPF_MAP_LOOKUP_ELEM")
    return value.raw


def update(fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """BPF_MAP_UPDATE_ELEM."""
    raw, new = buffer(key), buffer(value)
    attr = attrs.MapElem(map_fd=fd, key=address_of(raw), value=address_of(new), flags=flags)
    result = bpf(Cmd.MAP_UPDATE_ELEM, attr)
    if result < 0:
        raise error_of(-result, "BPF_MAP_UPDATE_ELEM")


def delete(fd: int, key: bytes) -> bool:
    """BPF_MAP_DELETE_ELEM: whether the key was there."""
    raw = buffer(key)
    result = bpf(Cmd.MAP_DELETE_ELEM, attrs.MapElem(map_fd=fd, key=address_of(raw)))
    if result == -errno.ENOENT:
        return False
    if result < 0:
        raise error_of(-result, "BPF_MAP_DELETE_ELEM")
    return True


def next_key(fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first for None; None at the end."""
    raw, following = buffer(key or b""), (ctypes.c_char * key_size)()
    attr = attrs.MapElem(map_fd=fd, key=address_of(raw) if key is not None else 0, value=address_of(following))
    result = bpf(Cmd.MAP_GET_NEXT_KEY, attr)
    if result == -errno.ENOENT:
        return None
    if result < 0:
        raise error_of(-result, "BPF_MAP_GET_NEXT_KEY")
    return following.raw


def freeze(fd: int, name: str) -> None:
    """BPF_MAP_FREEZE: no more writes from user space. Kernel: 5.2."""
    result = bpf(Cmd.MAP_FREEZE, attrs.MapElem(map_fd=fd))
    if result < 0:
        raise error_of(-result, f"BPF_MAP_FREEZE {name}")


def info(fd: int) -> attrs.MapInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a map."""
    info = attrs.MapInfo()
    get_info(fd, info, "map")
    return info
