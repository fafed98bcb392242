/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * TLS handshakes, from the first call to the one event at the end.
 */
#ifndef CT_SHAKE_BPF_H
#define CT_SHAKE_BPF_H

#include "api.bpf.h"

/*
 * Room for a record. Programs on user space's functions may be interrupted by others on the same
 * CPU, so that they cannot share a scratch entry: they write into the ring right away.
 */
static __always_inline void *reserve_record(enum ct_kind kind, __u64 size)
{
	void *record = bpf_ringbuf_reserve(&events, size, 0);

	if (!record)
		count_lost(kind);
	return record;
}

/* Who a socket talks to. Nothing changes if the file is no socket, or none of the internet. */
static __noinline int read_peer(struct ct_peer *peer, unsigned int fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;
	struct socket *socket;
	struct sock *sk;
	__u16 family;

	if (!peer || fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__builtin_memset(peer->address, 0, sizeof(peer->address));
	if (family == AF_INET)
		BPF_CORE_READ_INTO((__u32 *)peer->address, sk, __sk_common.skc_daddr);
	else if (family == AF_INET6)
		BPF_CORE_READ_INTO((struct in6_addr *)peer->address, sk, __sk_common.skc_v6_daddr);
	else
		return 0;
	peer->port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	peer->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	peer->family = family;
	return 0;
}

static __noinline int send_handshake(struct ct_tls *tls, bool success)
{
	struct ct_tls_handshake *record;

	if (!tls)
		return 0;
	tls->over = true;
	record = reserve_record(CT_TLS_HANDSHAKE, sizeof(*record));
	if (!record)
		return 0;
	fill_header((struct ct_header *)record, CT_TLS_HANDSHAKE);
	record->began = tls->began;
	record->function = tls->cookie & COOKIE_FUNCTION;
	record->library = tls->cookie >> COOKIE_LIBRARY;
	record->returned = tls->returned;
	record->success = success;
	record->calls = tls->calls;
	record->role = tls->role;
	record->family = tls->peer.family;
	record->local_port = tls->peer.local_port;
	record->peer_port = tls->peer.port;
	__builtin_memcpy(record->peer, tls->peer.address, sizeof(record->peer));
	bpf_probe_read_kernel(record->cipher_list, sizeof(ct_text), tls->cipher_list);
	bpf_probe_read_kernel(record->ciphersuites, sizeof(ct_text), tls->ciphersuites);
	bpf_probe_read_kernel(record->certificate, sizeof(ct_text), tls->certificate);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

static __always_inline void set_unfinished(struct ct_process *process, __u64 pointer)
{
	struct ct_user *user = bpf_map_lookup_elem(&users, process);

	if (user)
		user->unfinished = pointer;
}

/*
 * A call that goes on with a handshake, or may. Returns whether it is the first for this session.
 * A call within another one for the same session is a part of that: SSL_connect() calls
 * SSL_do_handshake(), or jumps there, and then both have the same stack pointer.
 */
static __always_inline bool begin_call(struct ct_object *key, struct ct_row *row,
				       struct ct_frame_key *at, struct ct_frame *frame)
{
	struct ct_tls *tls = find_object(key) ?: make_object(key, NULL);
	struct ct_shaking *outer = bpf_map_lookup_elem(&shaking, &at->thread);
	struct ct_shaking inner = {.object = key->pointer, .sp = at->sp};

	if (!tls || tls->over)
		return false;
	if (outer && outer->object == key->pointer && outer->sp >= at->sp)
		return false;
	if (row->action == CT_DO_FINISHED) {
		bpf_map_update_elem(&frames, at, frame, BPF_ANY);
		return true;
	}
	if (row->role)
		tls->role = row->role;
	if (!tls->calls) {
		tls->began = bpf_ktime_get_boot_ns();
		set_unfinished(&key->process, key->pointer);
	}
	tls->calls++;
	tls->cookie = frame->cookie;
	bpf_map_update_elem(&frames, at, frame, BPF_ANY);
	if (!outer)
		__sync_fetch_and_add(&shaking_count, 1);
	bpf_map_update_elem(&shaking, &at->thread, &inner, BPF_ANY);
	return tls->calls == 1;
}

static __always_inline bool wants_again(const struct ct_row *row, int result)
{
	return result == row->again[0] || result == row->again[1] || result == row->again[2] ||
	       result == row->again[3];
}

/* The answer whether the handshake is over, where other calls than those that we see have done it. */
static __always_inline void end_question(struct ct_object *key, struct ct_row *row,
					 struct ct_frame *frame, int result)
{
	struct ct_tls *tls = bpf_map_lookup_elem(&objects, key);

	if (!tls || tls->over || result != row->done)
		return;
	if (!tls->calls) {
		tls->began = bpf_ktime_get_boot_ns();
		tls->cookie = frame->cookie;
		tls->returned = result;
	}
	if (tls->fd && !tls->peer.family)
		read_peer(&tls->peer, tls->fd - 1);
	send_handshake(tls, true);
	set_unfinished(&key->process, 0);
}

/* The end of a call that goes on with a handshake. */
static __always_inline void end_call(struct ct_object *key, struct ct_row *row, __u64 *thread,
				     int result)
{
	struct ct_shaking *inner = bpf_map_lookup_elem(&shaking, thread);
	struct ct_tls *tls = bpf_map_lookup_elem(&objects, key);
	bool success;

	if (tls && !tls->over) {
		if (inner && inner->peer.family)
			tls->peer = inner->peer;
		else if (tls->fd)
			read_peer(&tls->peer, tls->fd - 1);
		tls->returned = result;
	}
	if (inner) {
		bpf_map_delete_elem(&shaking, thread);
		__sync_fetch_and_add(&shaking_count, -1);
	}
	if (!tls || tls->over)
		return;
	success = row->action == CT_DO_TRANSFER ? result > 0 : result == row->done;
	if (success || (row->action == CT_DO_SHAKE && !wants_again(row, result) &&
			!(row->vague && result < 0))) {
		send_handshake(tls, success);
		set_unfinished(&key->process, 0);
	}
}

/* A session goes, or its process: what has begun and not succeeded has failed. */
static __always_inline void give_up(struct ct_tls *tls)
{
	if (tls && tls->calls && !tls->over)
		send_handshake(tls, false);
}

#endif /* CT_SHAKE_BPF_H */
