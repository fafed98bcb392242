/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * DTLS and QUIC: the first datagrams between two addresses, as far as they may be read.
 */
#ifndef CT_DATAGRAMS_BPF_H
#define CT_DATAGRAMS_BPF_H

#include "stream.bpf.h"

#define MAX_DATAGRAMS 8

/* Datagrams that were sent to user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct_ends);
	__type(value, __u32);
} datagrams SEC(".maps");

/* The network namespace of any socket. The verifier lets nobody go into one of unknown kind: so a piece of it is copied. */
static __noinline __u32 namespace_of_any(struct bpf_sock *sk)
{
	__u32 at = bpf_core_field_offset(struct sock_common, skc_net);
	char copy[128] = {};
	struct net *net;

	if (!sk || at > sizeof(copy) - sizeof(net) || bpf_probe_read_kernel(copy, sizeof(copy), sk))
		return 0;
	net = *(struct net **)(copy + at);
	return BPF_CORE_READ(net, ns.inum);
}

/* Whether it is a message in clear of a DTLS handshake, or an Initial of QUIC. */
static __always_inline bool is_datagram(struct __sk_buff *skb, const struct ct_packet *packet)
{
	__u8 head[6];

	if (packet->size < 14 || bpf_skb_load_bytes(skb, packet->start, head, sizeof(head)))
		return false;
	if (head[0] == TLS_HANDSHAKE) /* versions count down from 1.0; epoch 0 is in clear */
		return head[1] == 0xfe && head[2] >= 0xfc && !head[3] && !head[4];
	if ((head[0] & 0xf0) == 0xc0) /* version 1: Initial is type 0 */
		return !head[1] && !head[2] && !head[3] && head[4] == 1 && head[5] <= 20;
	if ((head[0] & 0xf0) == 0xd0) /* version 2: type 1 */
		return head[1] == 0x6b && head[2] == 0x33 && head[3] == 0x43 && head[4] == 0xcf && head[5] <= 20;
	return false;
}

static __noinline int look_at_udp(struct __sk_buff *skb, struct bpf_sock *sk, bool sent)
{
	struct ct_packet packet = {.protocol = IPPROTO_UDP, .flags = sent ? CT_WIRE_SENT : 0};
	__u32 *count, none = 1, size;
	struct ct_ends ends;

	if (!sent && !targ_received && skb->ifindex == LOOPBACK_IFINDEX)
		return PASS;
	if (!read_headers(skb, &packet, IPPROTO_UDP) || !is_datagram(skb, &packet))
		return PASS;
	if (skb->ifindex == LOOPBACK_IFINDEX)
		packet.flags |= CT_WIRE_LOCAL;
	if (sent && !find_owner(&packet))
		return PASS;
	packet.space = namespace_of_any(sk);
	read_addresses(skb, &packet);
	fill_ends(&ends, &packet, sent);
	count = bpf_map_lookup_elem(&datagrams, &ends);
	if (!count)
		bpf_map_update_elem(&datagrams, &ends, &none, BPF_ANY);
	else if (*count >= MAX_DATAGRAMS)
		return PASS;
	else
		packet.offset = (*count)++;
	packet.segment = skb->gso_size;
	size = packet.size;
	if (size > CT_WIRE_SIZE)
		size = CT_WIRE_SIZE;
	send_payload(skb, &packet, size, 1);
	return PASS;
}

#endif /* CT_DATAGRAMS_BPF_H */
