// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Programs that are run by BPF_PROG_TEST_RUN: each changes what it is given, or tells what it was given. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ETH_HLEN 14
#define NEW_MARK 0x1234

__u64 runs;
__u32 seen_cpu;
__u64 seen_args[2];

/* Returns the packet's length. */
SEC("socket")
int length(struct __sk_buff *skb)
{
	return skb->len;
}

/* Swaps the two first bytes, and tells the mark that it found by putting it in the packet's priority. */
SEC("tc")
int rewrite(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 first;

	if (data + ETH_HLEN > end)
		return 2;
	first = data[0];
	data[0] = data[1];
	data[1] = first;
	skb->priority = skb->mark;
	skb->mark = NEW_MARK;
	runs++;
	return 0;
}

/* Eight bytes more at the front. */
SEC("xdp")
int grow(struct xdp_md *ctx)
{
	__u8 *data, *end;

	if (bpf_xdp_adjust_head(ctx, -8))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + 8 > end)
		return XDP_ABORTED;
	for (int i = 0; i < 8; i++)
		data[i] = i;
	return XDP_PASS;
}

/* Where it ran, and with what. */
SEC("raw_tp/no_such_tracepoint_needed")
int on_cpu(struct bpf_raw_tracepoint_args *ctx)
{
	seen_cpu = bpf_get_smp_processor_id();
	seen_args[0] = ctx->args[0];
	seen_args[1] = ctx->args[1];
	return 7;
}

/* Cannot be run. */
SEC("perf_event")
int sampled(void *ctx)
{
	return 0;
}

struct request {
	__u64 left, right, sum;
};

/* Writes into its context. */
SEC("syscall")
int adds(struct request *request)
{
	request->sum = request->left + request->right;
	return 11;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
