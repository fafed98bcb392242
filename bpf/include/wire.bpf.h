/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What a packet is, whose it is, and how a piece of it is sent to user space.
 *
 * Of programs of this type, older kernels let few call the helpers that tell the current task's pid, user
 * and name. bpf_get_current_task() and reading the kernel's memory are there since 5.10.
 *
 * A program for packets can be interrupted by another one on its CPU: no scratch space here; a record is
 * built in the ring. Room there has a size that the verifier knows, so there are some sizes to choose from.
 */
#ifndef CT_WIRE_BPF_H
#define CT_WIRE_BPF_H

#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"

#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800 /* include/uapi/linux/if_ether.h */
#define ETH_P_IPV6 0x86dd
#define IPPROTO_HOPOPTS 0
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_DSTOPTS 60
#define MAX_EXTENSIONS 6
#define LOOPBACK_IFINDEX 1 /* include/net/flow.h: of `lo`, in each network namespace */
#define IP_OFFSET 0x1fff
#define TCP_FLAG_SYN 2
#define TCP_FLAG_ACK 16

#define PASS 1

const volatile __u32 targ_received; /* look at what comes from the same host, too: its sender is not looked at */

struct ct_ends {
	ct_ip from, to;
	__u64 space;
	__u16 from_port, to_port;
	__u32 way;
};

/* A packet: where it goes, and where in it the payload is. */
struct ct_packet {
	__u64 space;
	__u32 base, back, offset;
	__u32 start, size; /* of the payload */
	__u32 sequence, acked; /* 0: nothing */
	__u16 from_port, to_port;
	__u16 protocol, family;
	__u16 flags, segment;
	ct_ip from, to;
};

/* Fills `room` bytes with zeros, cheaper than one by one. */
const volatile char zeros[CT_WIRE_SIZE];

/*
 * The ports and the place of the transport header, and how much follows its own. Headers of packets
 * that a socket sends or receives lie at the beginning of the linear part.
 */
static __always_inline bool read_headers(struct __sk_buff *skb, struct ct_packet *packet, __u8 wanted)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 *ip = data, *th;
	__u32 at, size;
	__u8 next;

	if (ip + 40 > (__u8 *)end)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		at = (ip[0] & 15) * 4;
		next = ip[9];
		if (*(__u16 *)(ip + 6) & bpf_htons(IP_OFFSET))
			return false;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		at = 40;
		next = ip[6];
#pragma clang loop unroll(disable)
		for (int i = 0; i < MAX_EXTENSIONS; i++) {
			__u8 extension[2];

			if (next == wanted)
				break;
			if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
				return false;
			if (bpf_skb_load_bytes(skb, at, extension, sizeof(extension)))
				return false;
			next = extension[0];
			at += (extension[1] + 1) * 8;
		}
	} else {
		return false;
	}
	if (next != wanted || at > 1024)
		return false;
	th = data + at;
	if (wanted == IPPROTO_UDP) {
		if (th + 8 > (__u8 *)end)
			return false;
		at += 8;
	} else {
		if (th + 20 > (__u8 *)end)
			return false;
		at += (th[12] >> 4) * 4;
		packet->sequence = bpf_ntohl(*(__u32 *)(th + 4)) + !!(th[13] & TCP_FLAG_SYN);
		if (th[13] & TCP_FLAG_ACK)
			packet->acked = bpf_ntohl(*(__u32 *)(th + 8));
	}
	size = skb->len;
	if (size <= at)
		return false; /* no payload */
	packet->start = at;
	packet->size = size - at;
	packet->from_port = bpf_ntohs(*(__u16 *)th);
	packet->to_port = bpf_ntohs(*(__u16 *)(th + 2));
	return true;
}

/* The rest of what user space wants to know; only packets that are sent to it pay for that. */
static __always_inline void read_addresses(struct __sk_buff *skb, struct ct_packet *packet)
{
	__builtin_memset(packet->from, 0, sizeof(packet->from));
	__builtin_memset(packet->to, 0, sizeof(packet->to));
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		packet->family = AF_INET;
		bpf_skb_load_bytes(skb, 12, packet->from, 4);
		bpf_skb_load_bytes(skb, 16, packet->to, 4);
	} else {
		packet->family = AF_INET6;
		bpf_skb_load_bytes(skb, 8, packet->from, sizeof(packet->from));
		bpf_skb_load_bytes(skb, 24, packet->to, sizeof(packet->to));
	}
}

/*
 * is_traced(), without its helpers. The one by control group is left out: these programs are attached to
 * that group.
 */
static __always_inline bool is_traced_task(struct task_struct *task)
{
	__u32 tgid = process_id(task);
	__u64 comm[2] = {};

	if (!tgid)
		return false;
	if (targ_tgid && tgid != targ_tgid)
		return false;
	if (tgid == targ_self)
		return false;
	if (targ_tree && !bpf_map_lookup_elem(&traced, &tgid))
		return false;
	if (targ_has_uid && BPF_CORE_READ(task, cred, uid.val) != targ_uid)
		return false;
	if (!targ_name_mask_low)
		return true;
	bpf_probe_read_kernel_str(comm, sizeof(comm), &task->comm);
	return contains_name(comm);
}

/*
 * Whose packet it is, into the flags. Returns whether it is of use: what a process on this host says to another
 * one may be, if the other one is watched.
 */
static __noinline bool find_owner(struct ct_packet *packet)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (!packet || BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return true;
	packet->flags |= CT_WIRE_OWNED;
	if (is_traced_task(task))
		packet->flags |= CT_WIRE_WANTED;
	return packet->flags & (CT_WIRE_WANTED | CT_WIRE_LOCAL);
}

/* As fill_header(), without its helpers. */
static __always_inline void fill_owner(struct ct_header *header, struct task_struct *task)
{
	header->start_time = BPF_CORE_READ(task, group_leader, start_boottime);
	header->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	header->host_pid = BPF_CORE_READ(task, tgid);
	header->pid = process_id(task);
	header->tid = thread_id(task);
	header->ppid = process_id(BPF_CORE_READ(task, real_parent));
	header->uid = BPF_CORE_READ(task, cred, uid.val);
	header->gid = BPF_CORE_READ(task, cred, gid.val);
	BPF_CORE_READ_STR_INTO(&header->comm, task, comm);
}

/* A record but for its data. Filled before there is room in the ring: older verifiers follow each size of room to the end. */
#define WIRE_HEAD offsetof(struct ct_wire_data, data)

static __always_inline void fill_wire(struct ct_wire_data *record, const struct ct_packet *packet)
{
	struct ct_header *header = (struct ct_header *)record;

	__builtin_memset(record, 0, WIRE_HEAD);
	header->time = bpf_ktime_get_boot_ns();
	header->kind = CT_WIRE_DATA;
	if (packet->flags & CT_WIRE_OWNED)
		fill_owner(header, (struct task_struct *)bpf_get_current_task());
	record->space = packet->space;
	record->base = packet->base;
	record->back = packet->back;
	record->segment = packet->segment;
	record->protocol = packet->protocol;
	record->family = packet->family;
	record->from_port = packet->from_port;
	record->to_port = packet->to_port;
	record->flags = packet->flags;
	__builtin_memcpy(record->from, packet->from, sizeof(record->from));
	__builtin_memcpy(record->to, packet->to, sizeof(record->to));
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

/* `size` bytes of the packet from `at` on, in a record with room for so many. */
#define SEND_IN(room)                                                                              \
	do {                                                                                       \
		record = reserve_record(CT_WIRE_DATA, WIRE_HEAD + (room));                         \
		if (!record)                                                                       \
			return 0;                                                                  \
		bpf_probe_read_kernel(record, WIRE_HEAD, head);                                    \
		bpf_probe_read_kernel(record->data, room, (const void *)zeros);                    \
		if (bpf_skb_load_bytes(skb, at, record->data, size))                               \
			record->data_size = 0;                                                     \
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);                                      \
		return 0;                                                                          \
	} while (0)

static __noinline int send_piece(struct __sk_buff *skb, const struct ct_wire_data *head, __u32 at, __u64 size)
{
	struct ct_wire_data *record;

	/* Signed: older verifiers learn nothing of a number from its not being 0. */
	barrier_var(size);
	if (!head || (__s64)size < 1)
		return 0;
	if (size <= 256)
		SEND_IN(256);
	if (size <= 768)
		SEND_IN(768);
	if (size <= 2048)
		SEND_IN(2048);
	if (size <= CT_WIRE_SIZE)
		SEND_IN(CT_WIRE_SIZE);
	return 0;
}

/* `size` bytes of the payload, in as many records as it takes, of which there are at most `most`. */
static __noinline int send_payload(struct __sk_buff *skb, const struct ct_packet *packet, __u32 size, __u32 most)
{
	__u64 room[(WIRE_HEAD + 7) / 8];
	struct ct_wire_data *head = (struct ct_wire_data *)room;

	if (!packet)
		return 0;
	fill_wire(head, packet);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < most; i++) {
		/* Not by what was sent: verifiers follow each size of a record to the end. */
		__u32 done = i * CT_WIRE_SIZE, piece = size - done;

		if (done >= size)
			break;
		if (piece > CT_WIRE_SIZE)
			piece = CT_WIRE_SIZE;
		head->offset = packet->offset + done;
		head->data_size = piece;
		send_piece(skb, head, packet->start + done, piece);
	}
	return 0;
}

#endif /* CT_WIRE_BPF_H */
