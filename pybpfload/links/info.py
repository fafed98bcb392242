"""What the kernel tells about a link.

Source: struct bpf_link_info, include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from pybpfload._sys import link_attrs as la
from pybpfload._sys import links as sys_links
from pybpfload.uapi import AttachType, LinkType

__all__ = ["LinkInfo", "read_info"]

LOW = 0xFFFFFFFF


class LinkInfo(NamedTuple):
    """What the kernel tells about a link.

    Attributes:
        type: a LinkType, or a plain number that is newer than this library.
        prog_id: 0 for struct_ops.
        target: what it is attached to, for people; "" when the kernel does not tell.
        details: the same as numbers and names: ``{"ifindex": 2, "attach_type": 46}``.
    """

    type: int
    id: int
    prog_id: int
    target: str
    details: dict[str, int | str]


# The union's words: (name, word, shift, bits)
_Fields = tuple[tuple[str, int, int, int], ...]
_LAYOUTS: dict[LinkType, _Fields] = {
    LinkType.TRACING: (
        ("attach_type", 0, 0, 32), ("target_obj_id", 0, 32, 32), ("target_btf_id", 1, 0, 32), ("cookie", 2, 0, 64),
    ),
    LinkType.CGROUP: (("cgroup_id", 0, 0, 64), ("attach_type", 1, 0, 32)),
    LinkType.NETNS: (("netns_ino", 0, 0, 32), ("attach_type", 0, 32, 32)),
    LinkType.XDP: (("ifindex", 0, 0, 32),),
    LinkType.STRUCT_OPS: (("map_id", 0, 0, 32),),
    LinkType.NETFILTER: (("pf", 0, 0, 32), ("hooknum", 0, 32, 32), ("priority", 1, 0, 32), ("flags", 1, 32, 32)),
    LinkType.KPROBE_MULTI: (("count", 1, 0, 32), ("flags", 1, 32, 32), ("missed", 2, 0, 64)),
    LinkType.UPROBE_MULTI: (("count", 4, 32, 32), ("flags", 5, 0, 32), ("pid", 5, 32, 32)),
    LinkType.TCX: (("ifindex", 0, 0, 32), ("attach_type", 0, 32, 32)),
    LinkType.NETKIT: (("ifindex", 0, 0, 32), ("attach_type", 0, 32, 32)),
    LinkType.SOCKMAP: (("map_id", 0, 0, 32), ("attach_type", 0, 32, 32)),
}  # fmt: skip


def read_info(link_fd: int) -> LinkInfo:
    """What the kernel tells about the link behind a file descriptor."""
    raw = sys_links.info(link_fd)
    number = int(raw.type)
    kind: int = LinkType(number) if number in LinkType._value2member_map_ else number
    words = [int(w) for w in raw.words]
    # Layouts count 32-bit halves from the low end, which is the first only on little-endian hosts.
    details: dict[str, int | str] = {}
    for name, word, shift, bits in _LAYOUTS.get(kind, ()):  # type: ignore[call-overload]
        details[name] = _part(words[word], shift, bits)
    named = _NAMED.get(kind)  # type: ignore[call-overload]
    if named:
        details.update(named(link_fd))
    if details.get("priority", 0) > 1 << 31:  # type: ignore[operator]
        details["priority"] = int(details["priority"]) - (1 << 32)
    return LinkInfo(kind, int(raw.id), int(raw.prog_id), _shown(details), details)


def _part(word: int, shift: int, bits: int) -> int:
    if bits == 64:
        return word
    return word >> (shift if sys.byteorder == "little" else 32 - shift) & LOW


def _by_name(link_fd: int) -> dict[str, int | str]:
    """Raw tracepoints and iterators: the name is what the union begins with."""
    _, name = sys_links.info_with_name(link_fd, la.LinkInfoName, "name", "name_len")
    return {"name": name}


def _perf(link_fd: int) -> dict[str, int | str]:
    """Perf events: since 6.6, 1b715e1b0ec5."""
    raw, name = sys_links.info_with_name(link_fd, la.LinkInfoPerf, "name", "name_len")
    found: dict[str, int | str] = {"event_type": int(raw.event_type)}
    if name:
        found["name"] = name
    return found


def _path(link_fd: int) -> dict[str, int | str]:
    """uprobe_multi: since 6.8, e56fdbfb06e2."""
    _, name = sys_links.info_with_name(link_fd, la.LinkInfoPath, "path", "path_size")
    return {"name": name} if name else {}


_NAMED = {
    LinkType.RAW_TRACEPOINT: _by_name,
    LinkType.ITER: _by_name,
    LinkType.PERF_EVENT: _perf,
    LinkType.UPROBE_MULTI: _path,
}


def _shown(details: dict[str, int | str]) -> str:
    """The target in one word."""
    parts = [str(details["name"])] if details.get("name") else []
    parts += [
        f"{name} {details[name]}" for name in ("ifindex", "cgroup_id", "netns_ino", "map_id") if details.get(name)
    ]
    if details.get("attach_type"):
        number = int(details["attach_type"])
        known = number in AttachType._value2member_map_
        parts.append(AttachType(number).name.lower() if known else f"attach type {number}")
    return " ".join(parts)
