"""What is in the kernel by now, whoever put it there: programs, maps and links by number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pybpfload._sys import ids
from pybpfload._sys import maps as sys_maps
from pybpfload.progs.info import list_programs
from pybpfload.uapi import LinkType, MapType

__all__ = ["LinkSummary", "MapSummary", "list_links", "list_maps", "list_programs"]


class MapSummary(NamedTuple):
    """One map.

    Attributes:
        type: a MapType, or a plain number that is newer than this library.
        name: at most 15 characters.
        btf_id: of the BTF that types its keys and values, or 0.
    """

    id: int
    type: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    btf_id: int


class LinkSummary(NamedTuple):
    """One link.

    Attributes:
        type: a LinkType, or a plain number that is newer than this library.
        program_id: 0 for struct_ops.
    """

    id: int
    type: int
    program_id: int


def list_maps() -> Iterator[MapSummary]:
    """Every map in the kernel. Those that go away meanwhile are left out.

    Raises:
        PrivilegeError: it takes CAP_SYS_ADMIN.

    Kernel: 4.13, 34ad5580f8f9.
    """
    for fd in ids.each("map"):
        raw = sys_maps.info(fd.fileno())
        kind = MapType(raw.type) if raw.type in MapType._value2member_map_ else raw.type
        name = raw.name.decode("ascii", "replace")
        yield MapSummary(
            raw.id, kind, name, raw.key_size, raw.value_size, raw.max_entries, raw.map_flags, raw.btf_id
        )  # fmt: skip


def list_links() -> Iterator[LinkSummary]:
    """Every link in the kernel. Those that go away meanwhile are left out.

    Raises:
        PrivilegeError: it takes CAP_SYS_ADMIN.

    Kernel: 5.8, 2d602c8cf40d.
    """
    for fd in ids.each("link"):
        raw = ids.link_head(fd.fileno())
        kind = LinkType(raw.type) if raw.type in LinkType._value2member_map_ else raw.type
        yield LinkSummary(raw.id, kind, raw.prog_id)
