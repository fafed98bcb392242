// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Calls: to .text, to a static function of the same section, to another program's callee, and by address. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 sum;

__attribute__((noinline)) int global_leaf(int x)
{
	return x * 3 + (int)sum;
}

static __attribute__((noinline)) int static_middle(int x)
{
	return global_leaf(x) + 1;
}

static long add(__u32 index, void *ctx)
{
	sum += index + 1;
	return 0;
}

SEC("raw_tp/sys_enter")
int calls_all(void *ctx)
{
	bpf_loop(4, add, 0, 0);
	return static_middle(2) + global_leaf(5);
}

SEC("raw_tp/sys_exit")
int calls_leaf(void *ctx)
{
	return global_leaf(7);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
