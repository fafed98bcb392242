// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Packets and sockets: each program counts, and lets pass. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 hits;
__u64 others;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

SEC("xdp")
int on_xdp(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return XDP_PASS;
}

SEC("xdp")
int other_xdp(void *ctx)
{
	__sync_fetch_and_add(&others, 1);
	return XDP_PASS;
}

/* tcx goes on to the next program at -1; a filter of clsact that answers so leaves the packet alone. */
SEC("tc")
int on_packet(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&hits, 1);
	return -1;
}

SEC("tcx/egress")
int other_packet(struct __sk_buff *skb)
{
	/* Only what no program saw before. */
	if (!hits)
		__sync_fetch_and_add(&others, 1);
	return -1;
}

SEC("netkit/primary")
int on_netkit(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&hits, 1);
	return -1;
}

SEC("netfilter")
int on_netfilter(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 1;
}

SEC("socket")
int on_socket(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&hits, 1);
	/* How many bytes the socket gets: none. */
	return 0;
}

SEC("sk_lookup")
int on_lookup(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *sk;
	__u32 key = 0;

	__sync_fetch_and_add(&hits, 1);
	if (ctx->local_port != 7777)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&listeners, &key);
	if (sk) {
		bpf_sk_assign(ctx, sk, 0);
		bpf_sk_release(sk);
	}
	return SK_PASS;
}

SEC("flow_dissector")
int on_flow(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&hits, 1);
	return BPF_OK;
}

SEC("sk_msg")
int on_message(struct sk_msg_md *msg)
{
	__sync_fetch_and_add(&hits, 1);
	return SK_PASS;
}

SEC("sk_skb/stream_verdict")
int on_stream(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&hits, 1);
	return SK_PASS;
}

SEC("sk_reuseport")
int on_reuseport(struct sk_reuseport_md *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
