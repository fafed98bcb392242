// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Maps as before BTF, a section of data with a name of its own, a weak function, and a hidden one. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

struct bpf_map_def SEC("maps") first = { BPF_MAP_TYPE_HASH, 4, 8, 10, BPF_F_NO_PREALLOC };
struct bpf_map_def SEC("maps") second = { BPF_MAP_TYPE_ARRAY, 4, 16, 3, 0 };

int custom SEC(".data.custom") = 17;
const char *greeting = "hello";

__weak __attribute__((noinline)) int overridable(int x)
{
	return x + custom;
}

__hidden __attribute__((noinline)) int hidden(int *x)
{
	return *x;
}

SEC("raw_tp/sys_enter")
int on_enter(void *ctx)
{
	int key = 1;

	bpf_map_lookup_elem(&first, &key);
	bpf_map_lookup_elem(&second, &key);
	return overridable(key) + hidden(&key);
}

__u32 wanted_version SEC("version") = 0x060102;
char LICENSE[] SEC("license") = "GPL";
