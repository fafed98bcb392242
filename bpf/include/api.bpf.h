/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * What the probe of library functions knows: the table of functions, and the state of TLS contexts
 * and sessions.
 *
 * State is found by pointer *and* process. Memory that a fork() has copied has the same pointers in
 * two processes; a child's misses are looked up with its ancestors, but only what those knew at the
 * time of the fork, and only if nothing was executed since.
 */
#ifndef CT_API_BPF_H
#define CT_API_BPF_H

#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "places.bpf.h"

#define MAX_FUNCTIONS 256
#define MAX_ANCESTORS 4
#define MAX_AGAIN 4

/* What a call does. User space takes the numbers from here. */
enum ct_action {
	CT_DO_CALL, /* nothing more than to be reported */
	CT_DO_NEW, /* makes a context or a session */
	CT_DO_SET, /* gives it a certificate or a cipher list, if it takes them; a socket, a role */
	CT_DO_INHERIT, /* gives it what another one has */
	CT_DO_SHAKE, /* goes on with the handshake */
	CT_DO_TRANSFER, /* sends or receives, after a handshake if there was none: a success says there was */
	CT_DO_FINISHED, /* asks whether the handshake is over */
	CT_DO_LOOK, /* is called after a handshake, as a rule */
	CT_DO_RESET, /* makes a session as good as new; or begins a handshake, if the library calls it */
	CT_DO_FREE,
};

enum ct_progress {
	CT_PROGRESS_UNKNOWN,
	CT_PROGRESS_RUNNING,
	CT_PROGRESS_OVER,
};

/*
 * Where OpenSSL's session has the state of its handshake, and what it waits for: user space finds
 * that in the library's own accessors, SSL_get_state() and SSL_want(). Negative: not known.
 */
struct ct_layout {
	__s32 hand_state;
	__s32 want;
};

#define MAX_LIBRARIES 512
#define LOWEST_VERSION 0x100 /* what is less is a type */
#define TLS_ST_OK 1
#define SSL_NOTHING 1

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LIBRARIES);
	__type(key, __u32);
	__type(value, struct ct_layout);
} layouts SEC(".maps");

/* What the argument `text` is. */
enum ct_text_as {
	CT_TEXT_TEXT, /* none of these */
	CT_TEXT_CERTIFICATE,
	CT_TEXT_CIPHER_LIST,
	CT_TEXT_CIPHERSUITES,
};

/* What the argument `number` is. */
enum ct_number_as {
	CT_NUMBER_NUMBER, /* none of these */
	CT_NUMBER_FD,
	CT_NUMBER_ROLE, /* bit 0: server */
	CT_NUMBER_AT_LONG, /* the address of a long */
};

/* A function: a row of the catalog. Arguments are counted from 1; 0 = none. */
struct ct_row {
	enum ct_action action;
	enum ct_text_as text_as;
	enum ct_number_as number_as;
	__u32 role;
	__u8 object; /* the context or session */
	__u8 from; /* where it inherits from */
	__u8 made; /* the address where the new one's pointer goes; 0: it is returned */
	__u8 text;
	__u8 number;
	__u8 reported; /* sends api_call */
	__u8 vague; /* a negative result need not be the end of the handshake */
	__u8 jumps; /* ends with a jump to another function of the table */
	__s32 done; /* what it returns on success */
	__s32 again[MAX_AGAIN]; /* what it returns if it wants to be called again; filled up with `done` */
	__u8 returns; /* its return is probed */
	__u8 pad[3];
	__u32 outer; /* 1 + number of the function that jumps to this one, or 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u32);
	__type(value, struct ct_row);
} functions SEC(".maps");

struct ct_object {
	struct ct_process process;
	__u64 pointer;
};

struct ct_peer {
	__u32 family;
	__u16 local_port;
	__u16 port;
	ct_ip address;
};

/* A context or a session. */
struct ct_tls {
	__u64 changed;
	__u64 began;
	__u64 cookie; /* of the function last called to go on with the handshake */
	__s32 returned;
	__u32 calls;
	__u32 over; /* the event is sent */
	__u32 role;
	__s32 fd; /* of set_fd(), plus 1 */
	__u32 pad;
	struct ct_peer peer;
	ct_text certificate;
	ct_text cipher_list;
	ct_text ciphersuites;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct_object);
	__type(value, struct ct_tls);
} objects SEC(".maps");

/* What a new one begins with; never written. It is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ct_tls);
} blank SEC(".maps");

/* A process that has objects, or may have copies of another one's. */
struct ct_user {
	struct ct_process parent;
	__u64 forked; /* when it became one of its own */
	__u64 unfinished; /* the session whose handshake began last, and is not over */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct_process);
	__type(value, struct ct_user);
} users SEC(".maps");

/* A call that has not returned. The stack pointer tells calls within calls apart. */
struct ct_frame_key {
	__u64 thread;
	__u64 sp;
};

struct ct_frame {
	__u64 cookie;
	__u64 object; /* or where its pointer will be */
	__u64 from;
	__u64 text;
	__u32 role;
	__s32 fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct_frame_key);
	__type(value, struct ct_frame);
} frames SEC(".maps");

/* A thread that is in a handshake: sockets that it reads from or writes to are those of the session. */
struct ct_shaking {
	__u64 object;
	__u64 sp;
	struct ct_peer peer;
};

/* Nothing leaves it of itself, so that shaking_count is right; without room, a peer stays unknown. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct ct_shaking);
} shaking SEC(".maps");

/* How many there are: others pay for one load only. */
__s64 shaking_count;

static __always_inline bool has_executed(struct task_struct *task)
{
	return !(BPF_CORE_READ(task, group_leader, flags) & PF_FORKNOEXEC);
}

/* The copy that a fork() made of an ancestor's object; NULL if there is none. */
static __noinline struct ct_tls *inherited(struct ct_object *own)
{
	struct ct_object key = *own;
	struct ct_user *user;
	struct ct_tls *tls;
	__u64 forked;
	int i;

	if (has_executed((struct task_struct *)bpf_get_current_task()))
		return NULL;
	for (i = 0; i < MAX_ANCESTORS; i++) {
		user = bpf_map_lookup_elem(&users, &key.process);
		if (!user || !user->parent.pid)
			return NULL;
		key.process = user->parent;
		forked = user->forked;
		tls = bpf_map_lookup_elem(&objects, &key);
		if (tls && tls->changed <= forked) {
			bpf_map_update_elem(&objects, own, tls, BPF_ANY);
			return bpf_map_lookup_elem(&objects, own);
		}
	}
	return NULL;
}

static __always_inline struct ct_tls *find_object(struct ct_object *key)
{
	struct ct_tls *tls = bpf_map_lookup_elem(&objects, key);

	return tls ?: inherited(key);
}

/* A new one in place of whatever had this pointer before: as `from`, or blank. */
static __noinline struct ct_tls *make_object(struct ct_object *key, struct ct_tls *from)
{
	struct ct_user user = {};
	struct ct_tls *tls;
	__u32 first = 0;

	tls = from ?: bpf_map_lookup_elem(&blank, &first);
	if (!tls)
		return NULL;
	bpf_map_update_elem(&users, &key->process, &user, BPF_NOEXIST);
	bpf_map_update_elem(&objects, key, tls, BPF_ANY);
	return bpf_map_lookup_elem(&objects, key);
}

#endif /* CT_API_BPF_H */
