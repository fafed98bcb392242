// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* One program for each answer that a CO-RE relocation can have; the tests relocate them against types of their own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct leaf {
	__u32 x;
	__u16 y;
};

struct tree {
	__u64 first;
	struct leaf leaf;
	struct leaf row[4];
	union {
		__u32 hidden;
		__u64 wide;
	};
	__u32 flag : 1;
	__s32 narrow : 7;
	void *pointer;
	int gone;
};

struct tree___old {
	__u32 former;
};

enum color { RED = 1, GREEN = 2 };
enum big { LARGE = 0x123456789abcdef0ULL };
#pragma clang attribute pop

SEC("raw_tp/offset")
long offset(struct tree *tree)
{
	return __builtin_preserve_field_info(tree->leaf.y, BPF_FIELD_BYTE_OFFSET);
}

SEC("raw_tp/element")
long element(struct tree *tree)
{
	return __builtin_preserve_field_info(tree->row[2].x, BPF_FIELD_BYTE_OFFSET);
}

SEC("raw_tp/anonymous")
long anonymous(struct tree *tree)
{
	return __builtin_preserve_field_info(tree->hidden, BPF_FIELD_BYTE_OFFSET);
}

SEC("raw_tp/size")
long size(struct tree *tree)
{
	return bpf_core_field_size(tree->leaf.x);
}

SEC("raw_tp/exists")
long exists(struct tree *tree)
{
	return bpf_core_field_exists(tree->gone) + 10 * bpf_core_field_exists(tree->first);
}

SEC("raw_tp/sign")
long sign(struct tree *tree)
{
	return __builtin_preserve_field_info(tree->narrow, BPF_FIELD_SIGNED);
}

SEC("raw_tp/bitfield")
long bitfield(struct tree *tree)
{
	return BPF_CORE_READ_BITFIELD_PROBED(tree, narrow);
}

SEC("raw_tp/flavour")
long flavour(struct tree___old *tree)
{
	return __builtin_preserve_field_info(tree->former, BPF_FIELD_BYTE_OFFSET);
}

SEC("raw_tp/types")
long types(void *ctx)
{
	return bpf_core_type_exists(struct tree) + 10 * bpf_core_type_size(struct tree) +
	       100000 * bpf_core_type_matches(struct leaf);
}

SEC("raw_tp/type_ids")
long type_ids(void *ctx)
{
	return bpf_core_type_id_kernel(struct leaf) - bpf_core_type_id_local(struct leaf);
}

SEC("raw_tp/enums")
long enums(void *ctx)
{
	return bpf_core_enum_value(enum color, GREEN) + 100 * bpf_core_enum_value_exists(enum color, RED);
}

SEC("raw_tp/enum64")
long enum64(void *ctx)
{
	return bpf_core_enum_value(enum big, LARGE);
}

SEC("raw_tp/poison")
long poison(struct tree *tree)
{
	return __builtin_preserve_field_info(tree->gone, BPF_FIELD_BYTE_OFFSET);
}

SEC("tp_btf/sys_enter")
long load(__u64 *ctx)
{
	struct tree *tree = (void *)ctx[0];

	/* A direct load: its width follows the target's field. */
	return tree->leaf.x;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
