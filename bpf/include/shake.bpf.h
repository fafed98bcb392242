/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * TLS handshakes, from the first call to the one event at the end.
 */
#ifndef CT_SHAKE_BPF_H
#define CT_SHAKE_BPF_H

#include "api.bpf.h"

/*
 * Who a socket talks to. Nothing changes if the file is no socket, or none of the internet. The
 * first answer is kept: a connection that was reset has no local port any more.
 */
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

static __noinline int send_handshake(struct ct_tls *tls, enum ct_outcome outcome)
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
	record->outcome = outcome;
	record->calls = tls->calls;
	record->role = tls->role;
	record->family = tls->peer.family;
	record->local_port = tls->peer.local_port;
	record->peer_port = tls->peer.port;
	__builtin_memcpy(record->peer, tls->peer.address, sizeof(record->peer));
	bpf_probe_read_kernel(record->cipher_list, sizeof(ct_text), tls->cipher_list);
	bpf_probe_read_kernel(record->ciphersuites, sizeof(ct_text), tls->ciphersuites);
	bpf_probe_read_kernel(record->certificate, sizeof(ct_text), tls->certificate);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void set_unfinished(struct ct_process *process, __u64 pointer)
{
	struct ct_user *user = bpf_map_lookup_elem(&users, process);

	if (user)
		user->unfinished = pointer;
}

/* How far a handshake is, by the session itself. */
static __noinline enum ct_progress look_into(__u64 cookie, __u64 session)
{
	__u32 library = cookie >> COOKIE_LIBRARY;
	struct ct_layout *layout = bpf_map_lookup_elem(&layouts, &library);
	__u32 type = 0, state = 0;

	if (!layout || layout->hand_state < 0)
		return CT_PROGRESS_UNKNOWN;
	/* Up to 3.1 a session begins with its version; from 3.2 on with a type, 0 for TLS. */
	if (bpf_probe_read_user(&type, sizeof(type), (const void *)session) ||
	    (type && type < LOWEST_VERSION) ||
	    bpf_probe_read_user(&state, sizeof(state), (const void *)session + layout->hand_state))
		return CT_PROGRESS_UNKNOWN;
	return state == TLS_ST_OK ? CT_PROGRESS_OVER : CT_PROGRESS_RUNNING;
}

/* Whether a session waits for its socket: if not, a negative result is the end. */
static __always_inline bool is_waiting(__u64 cookie, __u64 session)
{
	__u32 library = cookie >> COOKIE_LIBRARY;
	struct ct_layout *layout = bpf_map_lookup_elem(&layouts, &library);
	__u32 want = 0;

	if (!layout || layout->want < 0 ||
	    bpf_probe_read_user(&want, sizeof(want), (const void *)session + layout->want))
		return true;
	return want != SSL_NOTHING;
}

static __always_inline void end_handshake(struct ct_object *key, struct ct_tls *tls,
					  enum ct_outcome outcome)
{
	if (!tls->peer.family && tls->fd)
		read_peer(&tls->peer, tls->fd - 1);
	send_handshake(tls, outcome);
	set_unfinished(&key->process, 0);
}

/* A call that a program makes after the handshake, or about it. */
static __always_inline void look(struct ct_object *key, __u64 cookie)
{
	struct ct_tls *tls = find_object(key);

	if (!tls || tls->over || look_into(cookie, key->pointer) != CT_PROGRESS_OVER)
		return;
	if (!tls->calls)
		tls->cookie = cookie;
	end_handshake(key, tls, CT_SUCCEEDED);
}

static __always_inline void begin_handshake(struct ct_object *key, struct ct_tls *tls, __u64 cookie)
{
	if (!tls->began) {
		tls->began = bpf_ktime_get_boot_ns();
		set_unfinished(&key->process, key->pointer);
	}
	tls->cookie = cookie;
}

/*
 * A call that goes on with a handshake, or may. Returns whether it is the first for this session.
 * A call within another one for the same session is a part of that: SSL_connect() calls
 * SSL_do_handshake(), or jumps there, and then both have the same stack pointer.
 */
static __always_inline bool begin_call(struct ct_object *key, struct ct_row *row,
				       struct ct_frame_key *at, struct ct_frame *frame)
{
	struct ct_shaking *outer = bpf_map_lookup_elem(&shaking, &at->thread);
	struct ct_shaking inner = {.object = key->pointer, .sp = at->sp};
	struct ct_tls *tls;

	if (outer && outer->object == key->pointer && outer->sp >= at->sp)
		return false;
	tls = find_object(key) ?: make_object(key, NULL);
	if (!tls || tls->over)
		return false;
	if (look_into(frame->cookie, key->pointer) == CT_PROGRESS_OVER) {
		/* Calls that we do not see have done it; or it was over before we looked. */
		if (tls->began)
			end_handshake(key, tls, CT_SUCCEEDED);
		tls->over = true;
		return false;
	}
	if (row->role)
		tls->role = row->role;
	begin_handshake(key, tls, frame->cookie);
	tls->calls++;
	bpf_map_update_elem(&frames, at, frame, BPF_ANY);
	if (!map_error(bpf_map_update_elem(&shaking, &at->thread, &inner, BPF_ANY)) && !outer)
		__sync_fetch_and_add(&shaking_count, 1);
	return tls->calls == 1;
}

static __always_inline bool wants_again(const struct ct_row *row, struct ct_object *key,
					__u64 cookie, int result)
{
	if (row->action == CT_DO_TRANSFER)
		return true;
	if (row->vague && result < 0)
		return is_waiting(cookie, key->pointer);
	return result == row->again[0] || result == row->again[1] || result == row->again[2] ||
	       result == row->again[3];
}

/* A thread is in no handshake any more. */
static __always_inline void stop_shaking(__u64 thread)
{
	if (!map_error(bpf_map_delete_elem(&shaking, &thread)))
		__sync_fetch_and_add(&shaking_count, -1);
}

/* The end of a call that goes on with a handshake. */
static __always_inline void end_call(struct ct_object *key, struct ct_row *row,
				     struct ct_frame_key *at, struct ct_frame *frame, int result)
{
	struct ct_shaking *inner = bpf_map_lookup_elem(&shaking, &at->thread);
	struct ct_tls *tls = bpf_map_lookup_elem(&objects, key);
	enum ct_progress progress = look_into(frame->cookie, key->pointer);

	if (tls && !tls->over) {
		if (inner && !tls->peer.family)
			tls->peer = inner->peer;
		tls->returned = result;
		if (row->action == CT_DO_TRANSFER && progress == CT_PROGRESS_UNKNOWN)
			progress = result > 0 ? CT_PROGRESS_OVER : CT_PROGRESS_RUNNING;
		if (progress == CT_PROGRESS_OVER ||
		    (row->action == CT_DO_SHAKE && result == row->done))
			end_handshake(key, tls, CT_SUCCEEDED);
		else if (!wants_again(row, key, frame->cookie, result))
			end_handshake(key, tls, CT_FAILED);
	}
	stop_shaking(at->thread);
}

/* The answer whether the handshake is over. */
static __always_inline void end_question(struct ct_object *key, struct ct_row *row,
					 struct ct_frame *frame, int result)
{
	struct ct_tls *tls = find_object(key);

	if (!tls || tls->over || result != row->done)
		return;
	begin_handshake(key, tls, frame->cookie);
	tls->returned = result;
	end_handshake(key, tls, CT_SUCCEEDED);
}

/*
 * OpenSSL resets a session when a handshake begins, of itself. That is all there is to see of one
 * that reading or writing begins, until somebody asks how it went.
 */
static __always_inline void reset_session(struct ct_object *key, __u64 cookie, bool internal)
{
	struct ct_shaking *outer;
	struct ct_tls *tls = find_object(key);
	__u64 thread = bpf_get_current_pid_tgid();

	if (!tls)
		return;
	if (internal) {
		outer = bpf_map_lookup_elem(&shaking, &thread);
		if (!tls->over && !(outer && outer->object == key->pointer))
			begin_handshake(key, tls, cookie);
		return;
	}
	if (tls->began && !tls->over)
		end_handshake(key, tls, tls->calls ? CT_FAILED : CT_OUTCOME_UNKNOWN);
	tls->began = 0;
	tls->calls = 0;
	tls->over = false;
	__builtin_memset(&tls->peer, 0, sizeof(tls->peer));
}

/* A session goes: what has begun and not succeeded has failed. */
static __always_inline void free_session(struct ct_object *key, __u64 cookie)
{
	struct ct_tls *tls = bpf_map_lookup_elem(&objects, key);
	enum ct_progress progress;

	if (tls && tls->began && !tls->over) {
		progress = look_into(cookie, key->pointer);
		if (progress == CT_PROGRESS_OVER)
			end_handshake(key, tls, CT_SUCCEEDED);
		else if (progress == CT_PROGRESS_RUNNING || tls->calls)
			end_handshake(key, tls, CT_FAILED);
		else
			end_handshake(key, tls, CT_OUTCOME_UNKNOWN);
	}
	bpf_map_delete_elem(&objects, key);
}

#endif /* CT_SHAKE_BPF_H */
