"""Using a map that exists in the place of one that an object describes."""

from __future__ import annotations

import errno
import os
from typing import Any, Callable

from pybpfload._sys.bpf import error_of
from pybpfload.btf.blob import Btf
from pybpfload.errors import ObjectError, SyscallError, printable
from pybpfload.maps.base import Map
from pybpfload.maps.create import as_created, open_map
from pybpfload.spec import MapSpec
from pybpfload.uapi import MapFlag, MapType

__all__ = ["check_fit", "pinned_or_new"]

# What programs rely on; and what a map that was pinned by the same object has, too.
NEEDED = ("type", "key_size", "value_size")
ALL = (*NEEDED, "max_entries", "flags", "map_extra")
TRIES = 10
# The kernel sets it by itself for these.
READ_ONLY = (MapType.DEVMAP, MapType.DEVMAP_HASH)


def _shown(value: Any) -> str:
    if isinstance(value, MapFlag):
        names = "|".join([str(flag.name) for flag in MapFlag if value & flag])
        return f"{int(value):#x} ({names})" if value else "0"
    return value.name if isinstance(value, MapType) else str(value)


def check_fit(spec: MapSpec, existing: Map, where: str, *, fields: tuple[str, ...] = NEEDED) -> None:
    """Compare what is described with what there is.

    Raises:
        ObjectError: they differ; names each field that does.
    """
    ours = as_created(spec)
    ours.flags = MapFlag(ours.flags)
    if ours.type in READ_ONLY:
        ours.flags |= existing.flags & MapFlag.RDONLY_PROG
    differ = [
        f"{name} is {_shown(getattr(ours, name))}, the existing one has {_shown(getattr(existing, name))}"
        for name in fields
        if getattr(ours, name) != getattr(existing, name)
    ]
    if differ:
        raise ObjectError(f"{where}: map `{printable(spec.name)}`: {'; '.join(differ)}")


def pinned_or_new(spec: MapSpec, path: str, create: Callable[[], Map], btf: Btf | None) -> tuple[Map, bool]:
    """The map that is pinned at a path, if it fits; else a new one, which is pinned there.

    Returns:
        The map, and whether it is new.

    Raises:
        ObjectError: what is pinned there does not fit.
    """
    for _ in range(TRIES):
        try:
            existing = open_map(path)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
        else:
            try:
                check_fit(spec, existing, path, fields=ALL)
                existing.name = spec.name
                existing._use_types(spec, btf)
            except BaseException:
                existing.close()
                raise
            return existing, False
        created = create()
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            created.pin(path)
        except BaseException as error:
            created.close()
            if not isinstance(error, SyscallError) or error.errno != errno.EEXIST:
                raise
        else:
            return created, True
    raise error_of(errno.EAGAIN, f"BPF_OBJ_PIN {path}", "others pin and unpin it meanwhile")
