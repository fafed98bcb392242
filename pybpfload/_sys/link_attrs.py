"""The structs of bpf(2) for links: as in `attrs`, each with exactly the kernel's names and offsets.

Source: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

from ctypes import Structure, c_char, c_int32, c_uint32, c_uint64

from pybpfload._sys.attrs import Attr

u32, u64, s32 = c_uint32, c_uint64, c_int32

_HEAD = (("prog_fd", u32), ("target_fd", u32), ("attach_type", u32), ("flags", u32))


class LinkCreate(Attr):
    """LINK_CREATE without anything of its own: XDP, netns, sockmap, struct_ops, and cgroups as of old."""

    _fields_ = _HEAD


class LinkCreateIter(Attr):
    """LINK_CREATE of an iterator; `iter_info` is a union bpf_iter_link_info."""

    _fields_ = (*_HEAD, ("iter_info", u64), ("iter_info_len", u32))


class LinkCreateBtf(Attr):
    """LINK_CREATE of what attaches by BTF. `target_btf_id` is 0 for what the program was loaded for."""

    _fields_ = (*_HEAD, ("target_btf_id", u32))


class LinkCreateTracing(Attr):
    """The same with a cookie."""

    _fields_ = (*_HEAD, ("target_btf_id", u32), ("pad", u32), ("cookie", u64))


class LinkCreateKprobeMulti(Attr):
    """LINK_CREATE of many kernel functions. `multi_flags` is the union's own ``flags``."""

    _fields_ = (*_HEAD, ("multi_flags", u32), ("cnt", u32), ("syms", u64), ("addrs", u64), ("cookies", u64))


class LinkCreateUprobeMulti(Attr):
    """LINK_CREATE of many places of a file."""

    _fields_ = (
        *_HEAD, ("path", u64), ("offsets", u64), ("ref_ctr_offsets", u64), ("cookies", u64), ("cnt", u32),
        ("multi_flags", u32), ("pid", u32),
    )  # fmt: skip


class LinkCreateNetfilter(Attr):
    """LINK_CREATE of a netfilter hook."""

    _fields_ = (*_HEAD, ("pf", u32), ("hooknum", u32), ("priority", s32), ("hook_flags", u32))


class LinkCreateAnchored(Attr):
    """LINK_CREATE where programs stand in a row: tcx, netkit, and cgroups of newer kernels."""

    _fields_ = (*_HEAD, ("relative_fd", u32), ("pad", u32), ("expected_revision", u64))


class LinkUpdate(Attr):
    _fields_ = (("link_fd", u32), ("new_prog_fd", u32), ("flags", u32), ("old_prog_fd", u32))


class LinkDetach(Attr):
    _fields_ = (("link_fd", u32),)


class IterCreate(Attr):
    _fields_ = (("link_fd", u32), ("flags", u32))


class ProgAttach(Attr):
    """PROG_ATTACH and PROG_DETACH."""

    _fields_ = (
        ("target_fd", u32), ("attach_bpf_fd", u32), ("attach_type", u32), ("attach_flags", u32),
        ("replace_bpf_fd", u32),
    )  # fmt: skip


class ProgQuery(Attr):
    """PROG_QUERY."""

    _fields_ = (
        ("target_fd", u32), ("attach_type", u32), ("query_flags", u32), ("attach_flags", u32), ("prog_ids", u64),
        ("prog_cnt", u32),
    )  # fmt: skip


class IterInfo(Structure):
    """union bpf_iter_link_info, of which a target uses one part: a map, a cgroup or a task."""

    _fields_ = (("word", u32 * 4),)


class LinkInfo(Structure):
    """struct bpf_link_info; `words` is its union, which `type` says how to read."""

    _fields_ = (("type", u32), ("id", u32), ("prog_id", u32), ("pad", u32), ("words", u64 * 6))


class LinkInfoName(Structure):
    """struct bpf_link_info of a raw tracepoint or an iterator: `name` points to where its name goes."""

    _fields_ = (
        ("type", u32), ("id", u32), ("prog_id", u32), ("pad", u32), ("name", u64), ("name_len", u32), ("pad2", u32),
        ("words", u64 * 4),
    )  # fmt: skip


class LinkInfoPerf(Structure):
    """struct bpf_link_info of a perf event: the same bytes hold a function, a path, or a tracepoint's name."""

    _fields_ = (
        ("type", u32), ("id", u32), ("prog_id", u32), ("pad", u32), ("event_type", u32), ("pad2", u32),
        ("name", u64), ("name_len", u32), ("offset", u32), ("words", u64 * 3),
    )  # fmt: skip


class LinkInfoPath(Structure):
    """struct bpf_link_info of a uprobe_multi link."""

    _fields_ = (
        ("type", u32), ("id", u32), ("prog_id", u32), ("pad", u32), ("path", u64), ("offsets", u64),
        ("ref_ctr_offsets", u64), ("cookies", u64), ("path_size", u32), ("count", u32), ("flags", u32), ("pid", u32),
    )  # fmt: skip


Name = c_char * 256
