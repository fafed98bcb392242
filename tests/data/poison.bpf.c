// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Code that runs into what is not there: a weak kernel function, and a map that is not created. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int bpf_no_such_function(int x) __ksym __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} optional SEC(".maps");

const volatile int use_optional = 1;

SEC("tp_btf/sched_process_exit")
int calls_it(void *ctx)
{
	return bpf_no_such_function(3);
}

SEC("socket")
int uses_map(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *value;

	if (!use_optional)
		return 5;
	value = bpf_map_lookup_elem(&optional, &key);
	return value ? *value : 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
