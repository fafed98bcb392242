"""The structs of bpf(2) and perf_event_open(2), one for each command that is used.

Each names its fields as the kernel does, and has exactly the kernel's offsets: the kernel test
`test_attrs` compares them with kernel BTF. A struct may end before the kernel's does: what is missing
counts as 0.

Source: include/uapi/linux/bpf.h, include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

from ctypes import Structure, c_char, c_int32, c_uint8, c_uint32, c_uint64

u32, u64, s32 = c_uint32, c_uint64, c_int32
Name = c_char * 16


class Attr(Structure):
    """A command's part of union bpf_attr.

    Lifetime: an address in a field is only a number. `keep` holds what it points to for as long as
    the attr lives.
    """

    def keep(self, *buffers: object) -> None:
        self.__dict__.setdefault("_kept", []).extend(buffers)


class MapCreate(Attr):
    _fields_ = [
        ("map_type", u32), ("key_size", u32), ("value_size", u32), ("max_entries", u32), ("map_flags", u32),
        ("inner_map_fd", u32), ("numa_node", u32), ("map_name", Name), ("map_ifindex", u32), ("btf_fd", u32),
        ("btf_key_type_id", u32), ("btf_value_type_id", u32), ("btf_vmlinux_value_type_id", u32),
        ("map_extra", u64), ("value_type_btf_obj_fd", s32), ("map_token_fd", s32),
    ]  # fmt: skip


class MapElem(Attr):
    _fields_ = [("map_fd", u32), ("pad", u32), ("key", u64), ("value", u64), ("flags", u64)]


class MapBatch(Attr):
    """MAP_*_BATCH. A batch begins at `in_batch`, the place where the one before said it ended in `out_batch`."""

    _fields_ = [
        ("in_batch", u64), ("out_batch", u64), ("keys", u64), ("values", u64), ("count", u32), ("map_fd", u32),
        ("elem_flags", u64), ("flags", u64),
    ]  # fmt: skip


class ProgLoad(Attr):
    _fields_ = [
        ("prog_type", u32), ("insn_cnt", u32), ("insns", u64), ("license", u64), ("log_level", u32),
        ("log_size", u32), ("log_buf", u64), ("kern_version", u32), ("prog_flags", u32), ("prog_name", Name),
        ("prog_ifindex", u32), ("expected_attach_type", u32), ("prog_btf_fd", u32), ("func_info_rec_size", u32),
        ("func_info", u64), ("func_info_cnt", u32), ("line_info_rec_size", u32), ("line_info", u64),
        ("line_info_cnt", u32), ("attach_btf_id", u32), ("attach_prog_fd", u32), ("core_relo_cnt", u32),
        ("fd_array", u64), ("core_relos", u64), ("core_relo_rec_size", u32), ("log_true_size", u32),
        ("prog_token_fd", s32), ("fd_array_cnt", u32),
    ]  # fmt: skip


class RawTracepointOpen(Attr):
    _fields_ = [("name", u64), ("prog_fd", u32), ("pad", u32), ("cookie", u64)]


class BtfLoad(Attr):
    _fields_ = [
        ("btf", u64), ("btf_log_buf", u64), ("btf_size", u32), ("btf_log_size", u32), ("btf_log_level", u32),
        ("btf_log_true_size", u32), ("btf_flags", u32), ("btf_token_fd", s32),
    ]  # fmt: skip


class LinkCreatePerf(Attr):
    """LINK_CREATE of a perf event."""

    _fields_ = [
        ("prog_fd", u32),
        ("target_fd", u32),
        ("attach_type", u32),
        ("flags", u32),
        ("bpf_cookie", u64),
    ]


class ObjInfo(Attr):
    _fields_ = [("bpf_fd", u32), ("info_len", u32), ("info", u64)]


class Id(Attr):
    """*_GET_NEXT_ID and *_GET_FD_BY_ID."""

    _fields_ = [("id", u32), ("next_id", u32), ("open_flags", u32)]


class BtfInfo(Structure):
    """struct bpf_btf_info."""

    _fields_ = [
        ("btf", u64), ("btf_size", u32), ("id", u32), ("name", u64), ("name_len", u32), ("kernel_btf", u32),
    ]  # fmt: skip


class MapInfo(Structure):
    """struct bpf_map_info."""

    _fields_ = [
        ("type", u32), ("id", u32), ("key_size", u32), ("value_size", u32), ("max_entries", u32),
        ("map_flags", u32), ("name", Name), ("ifindex", u32), ("btf_vmlinux_value_type_id", u32),
        ("netns_dev", u64), ("netns_ino", u64), ("btf_id", u32), ("btf_key_type_id", u32),
        ("btf_value_type_id", u32), ("btf_vmlinux_id", u32), ("map_extra", u64),
    ]  # fmt: skip


class PerfEventAttr(Structure):
    """struct perf_event_attr up to PERF_ATTR_SIZE_VER1."""

    _fields_ = [
        ("type", u32), ("size", u32), ("config", u64), ("sample_period", u64), ("sample_type", u64),
        ("read_format", u64), ("bits", u64), ("wakeup_events", u32), ("bp_type", u32), ("config1", u64),
        ("config2", u64),
    ]  # fmt: skip


class ObjPath(Attr):
    """OBJ_PIN and OBJ_GET."""

    _fields_ = [("pathname", u64), ("bpf_fd", u32), ("file_flags", u32), ("path_fd", s32)]


class TestRun(Attr):
    """PROG_TEST_RUN."""

    _fields_ = [
        ("prog_fd", u32), ("retval", u32), ("data_size_in", u32), ("data_size_out", u32), ("data_in", u64),
        ("data_out", u64), ("repeat", u32), ("duration", u32), ("ctx_size_in", u32), ("ctx_size_out", u32),
        ("ctx_in", u64), ("ctx_out", u64), ("flags", u32), ("cpu", u32), ("batch_size", u32),
    ]  # fmt: skip


class EnableStats(Attr):
    _fields_ = [("type", u32)]


class TokenCreate(Attr):
    _fields_ = [("flags", u32), ("bpffs_fd", u32)]


class ProgInfo(Structure):
    """struct bpf_prog_info."""

    _fields_ = [
        ("type", u32), ("id", u32), ("tag", c_uint8 * 8), ("jited_prog_len", u32), ("xlated_prog_len", u32),
        ("jited_prog_insns", u64), ("xlated_prog_insns", u64), ("load_time", u64), ("created_by_uid", u32),
        ("nr_map_ids", u32), ("map_ids", u64), ("name", Name), ("ifindex", u32), ("gpl_compatible", u32),
        ("netns_dev", u64), ("netns_ino", u64), ("nr_jited_ksyms", u32), ("nr_jited_func_lens", u32),
        ("jited_ksyms", u64), ("jited_func_lens", u64), ("btf_id", u32), ("func_info_rec_size", u32),
        ("func_info", u64), ("nr_func_info", u32), ("nr_line_info", u32), ("line_info", u64),
        ("jited_line_info", u64), ("nr_jited_line_info", u32), ("line_info_rec_size", u32),
        ("jited_line_info_rec_size", u32), ("nr_prog_tags", u32), ("prog_tags", u64), ("run_time_ns", u64),
        ("run_cnt", u64), ("recursion_misses", u64), ("verified_insns", u32), ("attach_btf_obj_id", u32),
        ("attach_btf_id", u32),
    ]  # fmt: skip


class LinkHead(Structure):
    """How struct bpf_link_info begins, whatever the type of the link."""

    _fields_ = [("type", u32), ("id", u32), ("prog_id", u32), ("pad", u32)]
