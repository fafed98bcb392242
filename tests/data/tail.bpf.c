// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Tail calls: slots that the object fills, and slots that user space fills. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int first(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = {[1] = (void *)&first},
};

SEC("socket")
int first(struct __sk_buff *skb)
{
	return 101;
}

SEC("socket")
int second(struct __sk_buff *skb)
{
	return 102;
}

/* The slot is the packet's first byte behind the Ethernet header. */
SEC("socket")
int dispatch(struct __sk_buff *skb)
{
	__u8 slot = 0;

	bpf_skb_load_bytes(skb, 0, &slot, 1);
	bpf_tail_call(skb, &jumps, slot);
	return 100;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
