"""struct_ops: a kernel struct of functions, registered by a link or by writing the map's value."""

from __future__ import annotations

import errno
import os

from pybpfload._sys import bpf
from pybpfload._sys import links as sys_links
from pybpfload._sys import maps as sys_maps
from pybpfload._sys.fd import Fd
from pybpfload._sys.signals import uninterrupted
from pybpfload.errors import AttachError
from pybpfload.links.base import Link
from pybpfload.links.event import wants
from pybpfload.maps import Map
from pybpfload.uapi import AttachType, MapFlag

__all__ = ["StructOpsLink", "attach_struct_ops"]

KEY = bytes(4)


class StructOpsLink(Link):
    """A registered struct_ops map."""

    def update_map(self, map: Map, value: bytes) -> None:
        """Put another map of the same struct in this one's place.

        Kernel: 6.4, aef56f2e918b; as far as the struct's subsystem has it.
        """
        _set(map, value, True)
        sys_links.update(self._one("replacing the map"), map.fileno(), None, map.name)
        self.program_name = map.name


@uninterrupted
def attach_struct_ops(map: Map, value: bytes, *, kind: str | None = None) -> StructOpsLink:
    """Register a struct_ops map with the kernel; see BpfObject.attach_struct_ops().

    Args:
        value: the map's, with its programs in it.
        kind: ``struct_ops_link`` or ``map_update``: which it is follows from the map (BPF_F_LINK).

    Kernel: 5.6, 85d33df357b6; links 6.4, 68b04864ca42.
    """
    target = f"struct_ops {map.name}"
    try:
        linked = bool(sys_maps.info(map.fileno()).map_flags & MapFlag.LINK)
    except OSError as cause:
        raise AttachError(map.name, target, cause) from cause
    way = "struct_ops_link" if linked else "map_update"
    if not wants(kind, way):
        raise AttachError(map.name, target, f"this map is registered by {way}")
    try:
        _set(map, value, linked)
        if linked:
            result = sys_links.create(map.fileno(), 0, AttachType.STRUCT_OPS)
            if result < 0:
                raise bpf.error_of(-result, "BPF_LINK_CREATE struct_ops")
            return StructOpsLink(map.name, way, target, [Fd(result, f"link of {map.name}")])
    except OSError as cause:
        raise AttachError(map.name, target, cause) from cause
    own = Fd(os.dup(map.fileno()), f"map {map.name}")
    return StructOpsLink(map.name, way, target, [], undo=[lambda: _unregister(own), own.close])


def _set(map: Map, value: bytes, linked: bool) -> None:
    try:
        sys_maps.update(map.fileno(), map.name, KEY, value)
    except OSError as error:
        # A map of links keeps its value when its link goes, and takes it only once.
        if not linked or error.errno != errno.EBUSY:
            raise


def _unregister(map: Fd) -> None:
    sys_maps.delete(map.fileno(), "", KEY)
