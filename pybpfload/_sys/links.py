"""bpf(2) for links, and for what was attached before there were links.

What creates answers with a file descriptor or minus the errno, for callers know what they try next; the
others raise.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

from pybpfload._sys import attrs
from pybpfload._sys import link_attrs as la
from pybpfload._sys.bpf import address_of, bpf, buffer, error_of, get_info
from pybpfload.uapi import AttachType, Cmd

__all__ = [
    "create",
    "create_anchored",
    "create_iter",
    "create_kprobe_multi",
    "create_netfilter",
    "create_perf",
    "create_tracing",
    "create_uprobe_multi",
    "detach",
    "info",
    "info_with_name",
    "iterate",
    "prog_attach",
    "prog_detach",
    "prog_query",
    "raw_tracepoint_open",
    "update",
]

REPLACE = 4  # BPF_F_REPLACE
NO_FD = -1 & 0xFFFFFFFF


def raw_tracepoint_open(prog_fd: int, name: str | None, cookie: int = 0) -> int:
    """BPF_RAW_TRACEPOINT_OPEN: a link, or minus the errno; `name` is None for programs with BTF targets."""
    text = buffer(name.encode("ascii", "replace") + b"\0") if name is not None else None
    attr = attrs.RawTracepointOpen(prog_fd=prog_fd, name=address_of(text) if text is not None else 0)
    attr.cookie = _u64(cookie)
    attr.keep(text)
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, attr)


def create(prog_fd: int, target: int, attach_type: int, flags: int = 0) -> int:
    """BPF_LINK_CREATE; `target` is a file descriptor or a network interface's number."""
    attr = la.LinkCreate(prog_fd=prog_fd, target_fd=target & NO_FD, attach_type=attach_type, flags=flags)
    return bpf(Cmd.LINK_CREATE, attr)


def create_anchored(
    prog_fd: int, target: int, attach_type: int, flags: int, relative: int = 0, revision: int = 0
) -> int:
    """BPF_LINK_CREATE at a place among the programs that are there already."""
    attr = la.LinkCreateAnchored(prog_fd=prog_fd, target_fd=target, attach_type=attach_type, flags=flags)
    attr.relative_fd, attr.expected_revision = relative, revision
    return bpf(Cmd.LINK_CREATE, attr)


def create_iter(prog_fd: int, info: Sequence[int]) -> int:
    """BPF_LINK_CREATE of an iterator; `info` is up to four words of union bpf_iter_link_info."""
    attr = la.LinkCreateIter(prog_fd=prog_fd, attach_type=AttachType.TRACE_ITER)
    if info:
        words = la.IterInfo((ctypes.c_uint32 * 4)(*info))
        attr.iter_info, attr.iter_info_len = ctypes.addressof(words), 4 * len(info)
        attr.keep(words)
    return bpf(Cmd.LINK_CREATE, attr)


def create_perf(prog_fd: int, perf_fd: int, cookie: int, attach_type: int) -> int:
    """BPF_LINK_CREATE on a perf event: a link, or minus the errno. Kernel: 5.15, b89fbfbb854c."""
    attr = attrs.LinkCreatePerf(prog_fd=prog_fd, target_fd=perf_fd & NO_FD, attach_type=attach_type)
    attr.bpf_cookie = _u64(cookie)
    return bpf(Cmd.LINK_CREATE, attr)


def create_tracing(prog_fd: int, attach_type: int, cookie: int, target_fd: int = 0, btf_id: int = 0) -> int:
    """BPF_LINK_CREATE of what attaches by BTF. Kernel: cookies 6.0, 2fcc82411e74; other targets 5.10, 4a1e7c0c63e0."""
    attr: attrs.Attr
    if cookie:
        attr = la.LinkCreateTracing(prog_fd=prog_fd, target_fd=target_fd, attach_type=attach_type, cookie=_u64(cookie))
    else:
        attr = la.LinkCreateBtf(prog_fd=prog_fd, target_fd=target_fd, attach_type=attach_type)
    attr.target_btf_id = btf_id
    return bpf(Cmd.LINK_CREATE, attr)


def create_kprobe_multi(
    prog_fd: int,
    *,
    names: Sequence[bytes] = (),
    addresses: Sequence[int] = (),
    cookies: Sequence[int] = (),
    flags: int = 0,
    attach_type: int = AttachType.TRACE_KPROBE_MULTI,
) -> int:
    """BPF_LINK_CREATE of many kernel functions, by name or by address. Kernel: 5.18, 0dcac2725406."""
    attr = la.LinkCreateKprobeMulti(prog_fd=prog_fd, attach_type=attach_type, multi_flags=flags)
    attr.cnt = len(names) or len(addresses)
    if names:
        texts = [buffer(name + b"\0") for name in names]
        attr.syms = _words(attr, [address_of(text) for text in texts])
        attr.keep(*texts)
    else:
        attr.addrs = _words(attr, addresses)
    attr.cookies = _words(attr, cookies)
    return bpf(Cmd.LINK_CREATE, attr)


def create_uprobe_multi(
    prog_fd: int,
    path: bytes,
    offsets: Sequence[int],
    *,
    semaphores: Sequence[int] = (),
    cookies: Sequence[int] = (),
    flags: int = 0,
    pid: int = 0,
    attach_type: int = AttachType.TRACE_UPROBE_MULTI,
) -> int:
    """BPF_LINK_CREATE of many places of a file; pid 0 is every process. Kernel: 6.6, 89ae89f53d20."""
    text = buffer(path + b"\0")
    attr = la.LinkCreateUprobeMulti(prog_fd=prog_fd, attach_type=attach_type, multi_flags=flags, cnt=len(offsets))
    attr.path, attr.pid = address_of(text), pid & NO_FD
    attr.keep(text)
    attr.offsets, attr.cookies = _words(attr, offsets), _words(attr, cookies)
    attr.ref_ctr_offsets = _words(attr, semaphores)
    return bpf(Cmd.LINK_CREATE, attr)


def create_netfilter(prog_fd: int, family: int, hook: int, priority: int, flags: int) -> int:
    """BPF_LINK_CREATE of a netfilter hook. Kernel: 6.4, 84601d6ee68a."""
    attr = la.LinkCreateNetfilter(prog_fd=prog_fd, attach_type=AttachType.NETFILTER)
    attr.pf, attr.hooknum, attr.priority, attr.hook_flags = family, hook, priority, flags
    return bpf(Cmd.LINK_CREATE, attr)


def _u64(number: int) -> int:
    """A cookie, address or offset, which ctypes would cut."""
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} does not fit in 64 bits without a sign")
    return number


def _words(attr: attrs.Attr, values: Sequence[int]) -> int:
    """The address of 64-bit numbers, 0 for none."""
    if not values:
        return 0
    raw = buffer(struct.pack(f"={len(values)}Q", *map(_u64, values)))
    attr.keep(raw)
    return address_of(raw)


def update(link_fd: int, prog_fd: int, old_fd: int | None, what: str) -> None:
    """BPF_LINK_UPDATE to another program (or map, of struct_ops), at `old_fd`'s place if that is given."""
    attr = la.LinkUpdate(link_fd=link_fd, new_prog_fd=prog_fd)
    if old_fd is not None:
        attr.flags, attr.old_prog_fd = REPLACE, old_fd
    result = bpf(Cmd.LINK_UPDATE, attr)
    if result < 0:
        raise error_of(-result, f"BPF_LINK_UPDATE {what}")


def detach(link_fd: int, what: str) -> None:
    """BPF_LINK_DETACH. Kernel: 5.9, 73b11c2ab072."""
    result = bpf(Cmd.LINK_DETACH, la.LinkDetach(link_fd=link_fd))
    if result < 0:
        raise error_of(-result, f"BPF_LINK_DETACH {what}")


def iterate(link_fd: int, what: str) -> int:
    """BPF_ITER_CREATE: a file descriptor to be read."""
    result = bpf(Cmd.ITER_CREATE, la.IterCreate(link_fd=link_fd))
    if result < 0:
        raise error_of(-result, f"BPF_ITER_CREATE {what}")
    return result


def info(link_fd: int) -> la.LinkInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a link. Kernel: 5.8, f2e10bff16a0."""
    found = la.LinkInfo()
    get_info(link_fd, found, "link")
    return found


def info_with_name(
    link_fd: int, layout: type[ctypes.Structure], pointer: str, length: str
) -> tuple[ctypes.Structure, str]:
    """The same with a name, which the kernel copies to where a field points."""
    text = la.Name()
    found = layout()
    setattr(found, pointer, ctypes.addressof(text))
    setattr(found, length, ctypes.sizeof(text))
    get_info(link_fd, found, "link")
    return found, text.value.decode("utf-8", "backslashreplace")


def prog_attach(prog_fd: int, target_fd: int, attach_type: int, flags: int = 0, replace_fd: int = 0) -> int:
    """BPF_PROG_ATTACH: 0, or minus the errno. Nothing undoes it but BPF_PROG_DETACH."""
    attr = la.ProgAttach(target_fd=target_fd, attach_bpf_fd=prog_fd, attach_type=attach_type, attach_flags=flags)
    attr.replace_bpf_fd = replace_fd
    return bpf(Cmd.PROG_ATTACH, attr)


def prog_detach(prog_fd: int, target_fd: int, attach_type: int, what: str) -> None:
    """BPF_PROG_DETACH of that program."""
    attr = la.ProgAttach(target_fd=target_fd, attach_bpf_fd=prog_fd, attach_type=attach_type)
    result = bpf(Cmd.PROG_DETACH, attr)
    if result < 0:
        raise error_of(-result, f"BPF_PROG_DETACH {what}")


def prog_query(target: int, attach_type: int) -> list[int]:
    """BPF_PROG_QUERY: the ids of the programs that are attached.

    Kernel: 4.15, 468e2f64d220, for cgroups; others followed.
    """
    ids = (ctypes.c_uint32 * 64)()
    attr = la.ProgQuery(target_fd=target, attach_type=attach_type, prog_ids=ctypes.addressof(ids), prog_cnt=64)
    result = bpf(Cmd.PROG_QUERY, attr)
    if result < 0:
        raise error_of(-result, "BPF_PROG_QUERY")
    return list(ids[: attr.prog_cnt])
