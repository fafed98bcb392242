// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A program whose verification takes a log of megabytes, and which is rejected at its very end. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 total;

SEC("socket")
int long_log(struct __sk_buff *skb)
{
	volatile int *nowhere = 0;
	__u32 bits = skb->len;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 4000; i++) {
		total += bits;
		bits = bits * 3 + i;
		if (bits & 1)
			total += i;
	}
	return *nowhere;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
