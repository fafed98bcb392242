// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A program one of whose functions another replaces. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 result;

__attribute__((noinline)) int decide(struct __sk_buff *skb)
{
	volatile int answer = 1;

	return answer;
}

SEC("tc")
int on_packet(struct __sk_buff *skb)
{
	result = decide(skb);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
