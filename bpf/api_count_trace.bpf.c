// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * How often functions are called that are called too often for an event each: those that begin to
 * encrypt, to hash, to sign. The row of the function says where the algorithm stands. Only for
 * whoever asks for it, since each call costs.
 *
 * Counts are sent when their process ends or runs another program, every few seconds while it goes
 * on calling, and when user space asks: on_ask is run, not attached.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "core_fixes.bpf.h"
#include "places.bpf.h"
#include "count.bpf.h"

#include <bpf/bpf_tracing.h>

#define MAX_FUNCTIONS 256
#define MAX_LIBRARIES 512
#define PAGE_MASK (~0xfffULL)

/* What the argument is that tells the algorithm. User space takes the numbers from here. */
enum ct_algorithm_as {
	CT_AS_NONE, /* the function itself tells it */
	CT_AS_NUMBER,
	CT_AS_NAME, /* the address of a string */
	CT_AS_AT_INT, /* the address of an int */
	CT_AS_AT_LONG,
	CT_AS_CIPHER, /* EVP_CIPHER: begins with its number; where its name is, says the library */
	CT_AS_DIGEST, /* EVP_MD: the same */
	CT_AS_KEY_CONTEXT, /* EVP_PKEY_CTX */
};

struct ct_counted_row {
	enum ct_algorithm_as as;
	__u32 argument; /* counted from 1; 0 = none */
	__u32 outer; /* 1 + number of the function that jumps to this one, or 0 */
	__u32 jumps; /* ends with a jump to another function of the table */
	__u32 context; /* EVP_CIPHER_CTX and others begin with what was given last, if now nothing is */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FUNCTIONS);
	__type(key, __u32);
	__type(value, struct ct_counted_row);
} counted_functions SEC(".maps");

/* Where OpenSSL keeps names: user space finds that in the library's own accessors. Negative: not known. */
struct ct_names {
	__s32 cipher; /* in EVP_CIPHER */
	__s32 digest; /* in EVP_MD */
	__s32 key_management; /* in EVP_PKEY_CTX, the address of EVP_KEYMGMT */
	__s32 key; /* in that */
	__s32 key_method; /* in EVP_PKEY_CTX before 3.0, the address of what begins with a number */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LIBRARIES);
	__type(key, __u32);
	__type(value, struct ct_names);
} names SEC(".maps");

static __always_inline __u64 read_pointer(__u64 address)
{
	__u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (const void *)address);
	return value;
}

static __always_inline __s32 read_int(__u64 address)
{
	__s32 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (const void *)address);
	return value;
}

/* The name, with zeros behind it, since it is a part of a key. */
static __always_inline void read_name(struct ct_count_key *key, __u64 address)
{
	if (bpf_probe_read_user_str(key->name, sizeof(key->name), (const void *)address) < 0)
		key->name[0] = '\0';
}

static __always_inline void read_named(struct ct_count_key *key, __u64 object, __s32 name)
{
	key->number = read_int(object);
	if (key->number <= 0 && name >= 0)
		read_name(key, read_pointer(object + name));
}

static __always_inline void read_key_context(struct ct_count_key *key, __u64 context,
					     struct ct_names *at)
{
	__u64 inner;

	if (at->key_method >= 0) {
		inner = read_pointer(context + at->key_method);
		key->number = inner ? read_int(inner) : 0;
	} else if (at->key_management >= 0 && at->key >= 0) {
		inner = read_pointer(context + at->key_management);
		if (inner)
			read_name(key, read_pointer(inner + at->key));
	}
}

/* Which algorithm it is: nothing is set if that cannot be told. */
static __always_inline void read_algorithm(struct ct_count_key *key, struct ct_counted_row *row,
					   __u64 value, __u64 context)
{
	__u32 library = key->cookie >> COOKIE_LIBRARY;
	struct ct_names *at = bpf_map_lookup_elem(&names, &library);

	if (row->as == CT_AS_NONE || !at)
		return;
	if (row->as == CT_AS_NUMBER) {
		key->number = (__s32)value;
		return;
	}
	if (!value && context)
		value = read_pointer(context);
	if (!value)
		return;
	switch (row->as) {
	case CT_AS_NAME:
		read_name(key, value);
		break;
	case CT_AS_AT_INT:
		key->number = read_int(value);
		break;
	case CT_AS_AT_LONG:
		key->number = read_pointer(value);
		break;
	case CT_AS_CIPHER:
		read_named(key, value, at->cipher);
		break;
	case CT_AS_DIGEST:
		read_named(key, value, at->digest);
		break;
	case CT_AS_KEY_CONTEXT:
		read_key_context(key, value, at);
		break;
	default:
		break;
	}
}

SEC("uprobe.multi")
int on_call(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), caller, context;
	struct ct_count_key key = {};
	struct ct_counted_row *row;
	struct ct_counted *process;
	struct ct_last last;
	__u32 index;

	if (!is_traced(thread >> 32))
		return 0;
	key.cookie = find_cookie(ctx);
	index = key.cookie & COOKIE_FUNCTION;
	row = bpf_map_lookup_elem(&counted_functions, &index);
	if (!row)
		return 0;
	key.process = current_process();
	process = counted_process(&key.process);
	if (!process) {
		count_sent(CT_API_COUNT, true);
		return 0;
	}
	caller = read_caller(ctx);
	last = (struct ct_last){.cookie = key.cookie, .sp = SP(ctx), .caller = caller};
	if (is_jump(&last, row->outer))
		return 0;
	if (row->jumps)
		remember_call(&last);
	key.internal = is_within(key.cookie, PROBED_IP(ctx), caller);
	if (!key.internal)
		key.caller = caller & PAGE_MASK;
	context = argument(ctx, row->context);
	read_algorithm(&key, row, argument(ctx, row->argument), context);
	count_call(&key);
	if (bpf_ktime_get_boot_ns() - process->sent_at > PERIOD_NS)
		send_counts(&key.process, false);
	return 0;
}

/* The counts so far are those of the program that ran. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_sched_process_exec, struct task_struct *task)
{
	struct ct_process process = process_of(task);

	send_counts(&process, true);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_sched_process_exit, struct task_struct *task)
{
	struct ct_process process;

	if (task->signal->live.counter)
		return 0;
	process = process_of(task);
	send_counts(&process, true);
	return 0;
}

/* User space runs this for each process at the end. */
SEC("raw_tp")
int on_ask(struct bpf_raw_tracepoint_args *ctx)
{
	struct ct_process process = {.pid = ctx->args[0], .start_time = ctx->args[1]};

	send_counts(&process, true);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
