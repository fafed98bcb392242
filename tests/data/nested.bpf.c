// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Maps of maps and a program array, with contents that the object gives. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { (void *)&first, 0, (void *)&second, (void *)&first },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 5);
		__type(key, __u16);
		__type(value, __u16);
	});
} empty SEC(".maps");

__u64 reached;

int tail_one(void *ctx);
int tail_two(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} tails SEC(".maps") = {
	.values = { [1] = (void *)&tail_one, [2] = (void *)&tail_two },
};

SEC("raw_tp/sys_enter")
int tail_one(void *ctx)
{
	reached += 1;
	return 0;
}

SEC("raw_tp/sys_enter")
int tail_two(void *ctx)
{
	reached += 1000;
	return 0;
}

const volatile __u32 targ_tgid;

SEC("raw_tp/sys_enter")
int jumps(void *ctx)
{
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&outer, &zero);

	if (bpf_get_current_pid_tgid() >> 32 != targ_tgid)
		return 0;
	if (inner)
		bpf_map_update_elem(inner, &zero, &reached, 0);
	bpf_map_lookup_elem(&empty, &zero);
	bpf_tail_call(ctx, &tails, 2);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
