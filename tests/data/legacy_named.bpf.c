// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Plain map definitions in a section of their own, as objects for cilium/ebpf had them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

struct bpf_map_def SEC("maps/counts") counts = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 16,
};

SEC("raw_tp/sys_enter")
int on_enter(void *ctx)
{
	int key = 0;

	return bpf_map_lookup_elem(&counts, &key) != 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
