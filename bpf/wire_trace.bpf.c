// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * What is said before encryption begins: the hellos of TLS, those of SSH, DTLS and QUIC. For each packet
 * that a socket in the control group sends or receives, whatever program and library it belongs to.
 *
 * Most packets are none of ours, so the order of the tests matters. TCP sockets count what they have sent and
 * received: behind the first LIMIT bytes nothing is looked at, and that takes a few loads. Before, a packet
 * without payload is none. Whether a connection is TLS or SSH is decided once, by its very first bytes; only
 * then it gets a state, which goes with the socket. A socket that has sent or received something and
 * has no state is none of ours, or older than we are.
 *
 * Where a packet stands in its stream is exact, whatever was lost, reordered or sent twice: `base` is
 * the sequence number of the first byte. When the first packet is sent, the socket has
 * sent just so many bytes; a socket that sends is locked, so what it counts as received belongs
 * to its rcv_nxt. When the first one is received, it has received nothing.
 *
 * TLS is followed from record to record: the first one that holds application data is the end of what
 * can be read, and ends the copying. What does not come in order is copied as it comes, up to LIMIT.
 *
 * The process is the current one only if that is what sends, and not an interrupt that goes on with what the
 * socket has left, or an answer. While a process holds the lock of a socket, nobody else sends: an
 * interrupt that finds it `owned` leaves its packet to the owner. So if it is owned, the owner is running now.
 * Datagrams are sent by nobody but their process.
 *
 * Of two sockets that speak over the loopback device each one's own packets are looked at: what one sends, the other
 * receives. Of two in network namespaces of their own all are: user space finds by their sequence numbers that it is one
 * connection.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "wire.bpf.h"
#include "stream.bpf.h"
#include "datagrams.bpf.h"

#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define TCP_LISTEN 10


const volatile __u32 targ_by_cookie; /* leave the storage of sockets alone: for tests */

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ct_talk);
} talks SEC(".maps");

/*
 * The same by cookie, for kernels that cannot make a state in an interrupt: since 6.19 that takes a processor with
 * cmpxchg16b, which emulators may lack.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct ct_talk);
} talks_by_cookie SEC(".maps");

__u32 has_cookies;

/*
 * A connection that begins with data: it is not there yet when they come (TCP_DEFER_ACCEPT, TCP_FASTOPEN, cookies),
 * and they come to the socket that listens. Holds the sequence number of the first byte.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct ct_ends);
	__type(value, __u32);
} early SEC(".maps");

__u32 has_early;

static __always_inline struct ct_talk *find_talk(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct ct_talk *talk = bpf_sk_storage_get(&talks, sk, NULL, 0);
	__u64 cookie;

	if (talk || !has_cookies)
		return talk;
	cookie = bpf_get_socket_cookie(skb);
	return bpf_map_lookup_elem(&talks_by_cookie, &cookie);
}

static __noinline struct ct_talk *begin_by_cookie(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct ct_talk blank = {};

	has_cookies = true;
	bpf_map_update_elem(&talks_by_cookie, &cookie, &blank, BPF_ANY);
	return bpf_map_lookup_elem(&talks_by_cookie, &cookie);
}

/*
 * The state of a connection that has not been seen before. Whoever connects sends a SYN that counts as a
 * byte that was acknowledged; what accepts comes into being when its SYN has been acknowledged already.
 */
static __always_inline struct ct_talk *begin(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					     __u32 ssh)
{
	struct ct_talk *talk = NULL;

	if (!targ_by_cookie)
		talk = bpf_sk_storage_get(&talks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!talk)
		talk = begin_by_cookie(skb);
	if (talk) {
		talk->ssh = ssh;
		if (tcp->bytes_acked || tcp->inet_conn.icsk_inet.sk.__sk_common.skc_state == TCP_SYN_SENT)
			talk->connected = CT_WIRE_CONNECTED;
	} else {
		count_unread(CT_WIRE_DATA);
	}
	return talk;
}

static __always_inline __u32 namespace_of(struct tcp_sock *tcp)
{
	return tcp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->ns.inum;
}

/* Behind a device that is software there may be a container of this host, which is watched. */
static __always_inline bool may_stay(struct tcp_sock *tcp)
{
	return BPF_CORE_READ(tcp, inet_conn.icsk_inet.sk.sk_dst_cache, dev, rtnl_link_ops);
}

static __always_inline int sent_tcp(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct ct_packet packet = {.protocol = IPPROTO_TCP, .flags = CT_WIRE_SENT};
	struct ct_talk *talk;
	struct ct_way *way;
	__u32 ssh;

	if (tcp->bytes_acked > LIMIT || !read_headers(skb, &packet, IPPROTO_TCP))
		return PASS;
	talk = find_talk(skb, sk);
	if (!talk) {
		/* What is acknowledged counts a SYN, too. */
		if (tcp->bytes_acked > 1 || tcp->bytes_sent != packet.size || !is_hello(skb, &packet, &ssh))
			return PASS;
		talk = begin(skb, sk, tcp, ssh);
		if (!talk)
			return PASS;
		if (tcp->inet_conn.icsk_inet.sk.__sk_common.skc_state != TCP_SYN_SENT) {
			talk->ways[0].base = tcp->rcv_nxt - (__u32)tcp->bytes_received;
			talk->ways[0].known = true;
		}
	}
	way = &talk->ways[1];
	if (way->done || talk->unwanted)
		return PASS;
	if (!way->known) {
		way->base = packet.sequence;
		way->known = true;
		if (tcp->bytes_sent != packet.size)
			way->done = true;
	}
	packet.space = namespace_of(tcp);
	if (skb->ifindex == LOOPBACK_IFINDEX)
		packet.flags |= CT_WIRE_LOCAL;
	if (tcp->inet_conn.icsk_inet.sk.sk_lock.owned && !find_owner(&packet) && !may_stay(tcp)) {
		talk->unwanted = true;
		return PASS;
	}
	follow(skb, talk, way, &packet);
	return PASS;
}

/* Data for a connection that is not there yet. */
static __noinline int receive_early(struct __sk_buff *skb, struct ct_packet *packet)
{
	struct ct_ends ends;
	__u32 ssh, size;

	if (!packet || !is_hello(skb, packet, &ssh))
		return 0;
	read_addresses(skb, packet);
	fill_ends(&ends, packet, 0);
	bpf_map_update_elem(&early, &ends, &packet->sequence, BPF_ANY);
	has_early = true;
	packet->base = packet->sequence;
	packet->back = packet->acked;
	packet->offset = 0;
	size = packet->size;
	if (size > SSH_LIMIT)
		size = SSH_LIMIT;
	send_payload(skb, packet, size, 1);
	return 0;
}

/* The first byte of a connection whose beginning was not for its own socket; 0 is as good as any other number. */
static __noinline bool find_early(struct __sk_buff *skb, struct ct_packet *packet, __u32 *base)
{
	struct ct_ends ends;
	__u32 *found;

	if (!packet || !base)
		return false;
	read_addresses(skb, packet);
	fill_ends(&ends, packet, 0);
	found = bpf_map_lookup_elem(&early, &ends);
	if (!found)
		return false;
	*base = *found;
	return true;
}

static __always_inline int received_tcp(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct ct_packet packet = {.protocol = IPPROTO_TCP};
	__u32 ssh = 0, base, next;
	struct ct_talk *talk;
	struct ct_way *way;
	bool first;

	if (tcp->bytes_received > LIMIT)
		return PASS;
	if (skb->ifindex == LOOPBACK_IFINDEX) {
		if (!targ_received)
			return PASS;
		packet.flags = CT_WIRE_LOCAL;
	}
	if (!read_headers(skb, &packet, IPPROTO_TCP))
		return PASS;
	packet.space = namespace_of(tcp);
	if (tcp->inet_conn.icsk_inet.sk.__sk_common.skc_state == TCP_LISTEN) {
		receive_early(skb, &packet);
		return PASS;
	}
	talk = find_talk(skb, sk);
	if (!talk) {
		next = tcp->rcv_nxt;
		first = packet.sequence == next;
		if (!tcp->bytes_received) {
			base = next;
			if (first && !is_hello(skb, &packet, &ssh))
				return PASS;
		} else {
			if (!has_early || !find_early(skb, &packet, &base))
				return PASS;
			first = false;
		}
		talk = begin(skb, sk, tcp, ssh);
		if (!talk)
			return PASS;
		talk->ways[0].base = base;
		talk->ways[0].known = true;
		talk->ways[0].lost = !first;
		/* Nobody acknowledges what was not sent: so this is where it will begin. */
		if (!tcp->bytes_sent && packet.acked) {
			talk->ways[1].base = packet.acked;
			talk->ways[1].known = true;
		}
	}
	way = &talk->ways[0];
	if (way->done || talk->unwanted)
		return PASS;
	if (!way->known) {
		way->base = tcp->rcv_nxt - (__u32)tcp->bytes_received;
		way->known = true;
	}
	if (way->lost && packet.sequence == way->base) {
		/* The first byte came late. */
		if (!is_hello(skb, &packet, &ssh)) {
			talk->unwanted = true;
			return PASS;
		}
		talk->ssh = ssh;
	}
	follow(skb, talk, way, &packet);
	return PASS;
}

static __always_inline int look(struct __sk_buff *skb, bool sent)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tcp;

	if (!sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return PASS;
	if (sk->protocol == IPPROTO_TCP) {
		tcp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
		if (!tcp)
			return PASS;
		return sent ? sent_tcp(skb, sk, tcp) : received_tcp(skb, sk, tcp);
	}
	if (sk->protocol == IPPROTO_UDP)
		return look_at_udp(skb, sk, sent);
	return PASS;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	return look(skb, true);
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	return look(skb, false);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
