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
 * Of two sockets on the same host each one's own packets are looked at: what one sends, the other receives.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "wire.bpf.h"

#define MAX_PIECES 4
#define LIMIT (MAX_PIECES * CT_WIRE_SIZE)
#define MAX_HEADER_BYTES 80 /* of records, in one packet */
#define MAX_DATAGRAMS 8
#define SSH_LIMIT CT_WIRE_SIZE
#define PASS 1

#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define TCP_LISTEN 10

#define TLS_CHANGE_CIPHER 20
#define TLS_HANDSHAKE 22
#define TLS_DATA 23
#define TLS_HEADER 5

const volatile __u32 targ_received; /* look at what comes from the same host, too: its sender is not looked at */

/* What one side says. Offsets count from its first byte. */
struct ct_way {
	__u32 base;
	__u32 next; /* what was not there yet */
	__u32 header; /* the next byte of the next record's header */
	__u32 copied;
	__u8 have; /* bytes of this header that were there */
	__u8 length; /* the high byte of the record's length */
	__u8 known; /* `base` is */
	__u8 lost; /* where records begin is not known any more */
	__u8 done;
	__u8 pad[3];
};

struct ct_talk {
	struct ct_way ways[2]; /* received, sent */
	__u32 ssh;
	__u16 unwanted;
	__u16 connected; /* CT_WIRE_CONNECTED, or 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ct_talk);
} talks SEC(".maps");

struct ct_ends {
	ct_ip from, to;
	__u64 space;
	__u16 from_port, to_port;
	__u32 way;
};

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

/* Datagrams that were sent to user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct_ends);
	__type(value, __u32);
} datagrams SEC(".maps");

/* Whether a stream that begins like this may be one of ours; `ssh` says which. One byte is enough to go on. */
static __always_inline bool is_hello(struct __sk_buff *skb, const struct ct_packet *packet, __u32 *ssh)
{
	__u8 head[6] = {};

	if (packet->size >= sizeof(head)) {
		if (bpf_skb_load_bytes(skb, packet->start, head, sizeof(head)))
			return false;
		*ssh = head[0] == 'S';
		if (*ssh)
			return head[1] == 'S' && head[2] == 'H' && head[3] == '-';
		return head[0] == TLS_HANDSHAKE && head[1] == 3 && (head[5] == 1 || head[5] == 2);
	}
	if (bpf_skb_load_bytes(skb, packet->start, head, 1))
		return false;
	*ssh = head[0] == 'S';
	return *ssh || head[0] == TLS_HANDSHAKE;
}

/*
 * Goes over the records of a packet that comes in order; returns how much of it is to be copied. A header
 * may be spread over packets: it is read byte by byte, and what is known of it stays in the state.
 */
static __noinline __u32 walk(struct __sk_buff *skb, struct ct_way *way, const struct ct_packet *packet)
{
	__u32 at;
	__u8 byte;

	if (!way || !packet)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_HEADER_BYTES; i++) {
		at = way->header - packet->offset;
		if (at >= packet->size)
			return packet->size;
		if (bpf_skb_load_bytes(skb, packet->start + at, &byte, 1))
			break;
		if (way->have == 0 && byte == TLS_DATA) {
			way->done = true;
			return at;
		}
		if ((way->have == 0 && (byte < TLS_CHANGE_CIPHER || byte > TLS_HANDSHAKE)) ||
		    (way->have == 1 && byte != 3)) {
			way->done = true; /* this is no TLS, or it is no more */
			return packet->size;
		}
		if (way->have == TLS_HEADER - 1) {
			way->header += 1 + (way->length << 8) + byte;
			way->have = 0;
			continue;
		}
		way->length = byte;
		way->header++;
		way->have++;
	}
	way->lost = true;
	return packet->size;
}

/* A message that says nothing but that what follows is encrypted. */
static __always_inline bool is_change_only(struct __sk_buff *skb, const struct ct_packet *packet, __u32 size)
{
	__u8 first = 0;

	return size == TLS_HEADER + 1 && !bpf_skb_load_bytes(skb, packet->start, &first, 1) &&
	       first == TLS_CHANGE_CIPHER;
}

/* A packet of a connection that is one of ours. */
static __noinline int follow(struct __sk_buff *skb, struct ct_talk *talk, struct ct_way *way,
			     struct ct_packet *packet)
{
	__u32 end, size, most;

	if (!talk || !way || !packet)
		return 0;
	packet->flags |= talk->connected;
	packet->base = way->base;
	packet->offset = packet->sequence - way->base;
	end = packet->offset + packet->size;
	most = talk->ssh ? SSH_LIMIT : LIMIT;
	if ((__s32)packet->offset < 0)
		return 0; /* keep-alive, or one that was there */
	if (packet->offset >= most || way->copied >= 2 * LIMIT) {
		way->done = true;
		return 0;
	}
	if (end <= way->next && !way->lost)
		return 0; /* sent twice */
	if (packet->offset != way->next)
		way->lost = true;
	if (end > way->next)
		way->next = end;
	size = packet->size;
	if (!way->lost && !talk->ssh)
		size = walk(skb, way, packet);
	if (size > most - packet->offset) {
		size = most - packet->offset;
		way->done = true;
	}
	if (!size || (way->done && is_change_only(skb, packet, size)))
		return 0;
	way->copied += size;
	read_addresses(skb, packet);
	send_payload(skb, packet, size, MAX_PIECES);
	return 0;
}

/*
 * The state of a connection that has not been seen before. Whoever connects sends a SYN that counts as a
 * byte that was acknowledged; what accepts comes into being when its SYN has been acknowledged already.
 */
static __always_inline struct ct_talk *begin(struct bpf_sock *sk, struct tcp_sock *tcp, __u32 ssh)
{
	struct ct_talk *talk = bpf_sk_storage_get(&talks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

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

static __always_inline void fill_ends(struct ct_ends *ends, const struct ct_packet *packet, __u32 way)
{
	__builtin_memset(ends, 0, sizeof(*ends));
	__builtin_memcpy(ends->from, packet->from, sizeof(ends->from));
	__builtin_memcpy(ends->to, packet->to, sizeof(ends->to));
	ends->space = packet->space;
	ends->from_port = packet->from_port;
	ends->to_port = packet->to_port;
	ends->way = way;
}

static __always_inline int sent_tcp(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct ct_packet packet = {.protocol = IPPROTO_TCP, .flags = CT_WIRE_SENT};
	struct ct_talk *talk;
	struct ct_way *way;
	__u32 ssh;

	if (tcp->bytes_acked > LIMIT || !read_headers(skb, &packet, IPPROTO_TCP))
		return PASS;
	talk = bpf_sk_storage_get(&talks, sk, NULL, 0);
	if (!talk) {
		/* What is acknowledged counts a SYN, too. */
		if (tcp->bytes_acked > 1 || tcp->bytes_sent != packet.size || !is_hello(skb, &packet, &ssh))
			return PASS;
		talk = begin(sk, tcp, ssh);
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
	if (tcp->inet_conn.icsk_inet.sk.sk_lock.owned && !find_owner(&packet)) {
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
	talk = bpf_sk_storage_get(&talks, sk, NULL, 0);
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
		talk = begin(sk, tcp, ssh);
		if (!talk)
			return PASS;
		talk->ways[0].base = base;
		talk->ways[0].known = true;
		talk->ways[0].lost = !first;
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

static __always_inline int look_at_udp(struct __sk_buff *skb, bool sent)
{
	struct ct_packet packet = {.protocol = IPPROTO_UDP, .flags = sent ? CT_WIRE_SENT : 0};
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
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
	/* What comes in tells no namespace. The socket is the same both ways, unless both ends are here. */
	packet.space = bpf_get_socket_cookie(skb);
	if (packet.flags & CT_WIRE_LOCAL)
		packet.space = sent ? BPF_CORE_READ(task, nsproxy, net_ns, ns.inum) : 0;
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
	send_piece(skb, &packet, packet.start, packet.offset, size);
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
		return look_at_udp(skb, sent);
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
