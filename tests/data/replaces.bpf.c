// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A function that replaces another program's; a program that sees another run. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 seen;

SEC("freplace/decide")
int decide(struct __sk_buff *skb)
{
	return 42;
}

SEC("fentry/on_packet")
int on_entry(void *ctx)
{
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
