/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What one side of a connection says, as far as it is in clear: which packets of it are copied, and how much of them.
 */
#ifndef CT_STREAM_BPF_H
#define CT_STREAM_BPF_H

#include "wire.bpf.h"

#define MAX_PIECES 4
#define LIMIT (MAX_PIECES * CT_WIRE_SIZE)
#define MAX_RECORDS 17 /* in one packet */
#define SSH_LIMIT CT_WIRE_SIZE

#define TLS_CHANGE_CIPHER 20
#define TLS_ALERT 21
#define TLS_HANDSHAKE 22
#define TLS_DATA 23
#define TLS_HEADER 5

/* What one side says. Offsets count from its first byte. */
struct ct_way {
	__u32 base;
	__u32 next; /* what was not there yet */
	__u32 header; /* the next byte of the next record's header */
	__u32 copied;
	__u8 head[12]; /* this header: TLS_HEADER bytes */
	__u8 have; /* how much of it was there */
	__u8 known; /* `base` is */
	__u8 lost; /* where records begin is not known any more */
	__u8 done;
};

struct ct_talk {
	struct ct_way ways[2]; /* received, sent */
	__u32 ssh;
	__u16 unwanted;
	__u16 connected; /* CT_WIRE_CONNECTED, or 0 */
};

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
		if (head[1] != 3)
			return false;
		/* A server that refuses begins with an alert, of two bytes. */
		if (head[0] == TLS_ALERT)
			return head[3] == 0 && head[4] == 2;
		return head[0] == TLS_HANDSHAKE && (head[5] == 1 || head[5] == 2);
	}
	if (packet->size >= 4) {
		if (bpf_skb_load_bytes(skb, packet->start, head, 4))
			return false;
	} else {
		if (bpf_skb_load_bytes(skb, packet->start, head, 1))
			return false;
		*ssh = head[0] == 'S';
		return *ssh || head[0] == TLS_HANDSHAKE;
	}
	*ssh = head[0] == 'S';
	return *ssh ? head[1] == 'S' && head[2] == 'H' && head[3] == '-' : head[0] == TLS_HANDSHAKE && head[1] == 3;
}

/*
 * Goes over the records of a packet that comes in order; returns how much of it is to be copied. A header
 * may be spread over packets: what there is of it stays in the state.
 */
static __noinline __u32 walk(struct __sk_buff *skb, struct ct_way *way, const struct ct_packet *packet)
{
	__u32 at, have;
	__u64 count;

	if (!way || !packet)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_RECORDS; i++) {
		at = way->header - packet->offset;
		if (at >= packet->size)
			return packet->size;
		have = way->have & 7;
		count = TLS_HEADER - have;
		if (count > packet->size - at)
			count = packet->size - at;
		barrier_var(count);
		if ((__s64)count < 1 || count > TLS_HEADER ||
		    bpf_skb_load_bytes(skb, packet->start + at, way->head + have, count))
			break;
		way->header += count;
		way->have = have += count;
		if (way->head[0] == TLS_DATA) {
			way->done = true;
			return at;
		}
		if (way->head[0] < TLS_CHANGE_CIPHER || way->head[0] > TLS_HANDSHAKE)
			goto other;
		if (have < TLS_HEADER)
			return packet->size;
		if (way->head[1] != 3)
			goto other;
		way->header += (way->head[3] << 8) + way->head[4];
		way->have = 0;
	}
	way->lost = true;
	return packet->size;
other: /* this is no TLS, or it is no more */
	way->done = true;
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
	packet->back = talk->ways[!(packet->flags & CT_WIRE_SENT)].base;
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

#endif /* CT_STREAM_BPF_H */
