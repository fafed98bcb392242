// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Counts calls of many functions with one program: which one was called, the cookie says. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_FUNCTIONS 1024

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("uprobe.multi")
int on_call(void *ctx)
{
	__u32 function = bpf_get_attach_cookie(ctx);
	__u64 *count = bpf_map_lookup_elem(&calls, &function);

	if (count)
		*count += 1;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
