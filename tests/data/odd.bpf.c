// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* What only some programs or maps of an object are at fault for: the others can be used. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int nowhere(void);

/* A map type that nobody has invented yet. */
struct {
	__uint(type, 777);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} later SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} first SEC(".maps"), third SEC(".maps");

/* How many entries it has is left to user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &first, [2] = &third },
};

SEC("raw_tp/sys_enter")
int calls_nowhere(void *ctx)
{
	return nowhere();
}

SEC("raw_tp/sys_enter")
int on_enter(void *ctx)
{
	int key = 0;

	return bpf_map_lookup_elem(&outer, &key) != 0;
}

int same_again(void *ctx) __attribute__((alias("on_enter"), section("raw_tp/sys_enter")));

char LICENSE[] SEC("license") = "Dual MIT/GPL";
