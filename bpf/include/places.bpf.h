/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Which function a uprobe is at, where it was called from, and by which process.
 */
#ifndef CT_PLACES_BPF_H
#define CT_PLACES_BPF_H

#include "events.h"
#include "kernel.h"
#include "registers.bpf.h"

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define CODE_SIZE 29

/* A cookie is the number of a function, and that of the file it is in. */
#define COOKIE_FUNCTION 0xffff
#define COOKIE_LIBRARY 16
#define NO_COOKIE COOKIE_FUNCTION

/*
 * Where kernels have no cookies (before 5.15): the place of a function in its page and its first
 * bytes, but for the very first, tell which one it is. User space leaves out what is not unique.
 */
struct ct_code {
	__u16 place;
	__u8 bytes[CODE_SIZE];
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct_code);
	__type(value, __u64);
} cookies SEC(".maps");

/* How much code of the same file there is before and behind a function: calls from there are internal. */
struct ct_code_around {
	__u64 before;
	__u64 behind;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct ct_code_around);
} code_around SEC(".maps");

const volatile bool targ_cookies = true; /* false: find functions by their code all the same */

static __always_inline __u64 find_cookie(struct pt_regs *ctx)
{
	struct ct_code code = {};
	__u64 *cookie;

	if (targ_cookies && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return bpf_get_attach_cookie(ctx);
	code.place = PROBED_IP(ctx) & 0xfff;
	bpf_probe_read_user(code.bytes, sizeof(code.bytes),
			    (const void *)PROBED_IP(ctx) + BREAKPOINT_SIZE);
	cookie = bpf_map_lookup_elem(&cookies, &code);
	return cookie ? *cookie : NO_COOKIE;
}

/* Whether a function that is at `ip` was called by code of its own file. */
static __always_inline bool is_within(__u64 cookie, __u64 ip, __u64 caller)
{
	struct ct_code_around *code = bpf_map_lookup_elem(&code_around, &cookie);

	return code && caller + code->before >= ip && caller < ip + code->behind;
}

/*
 * The last function that a thread called, of those that end with a jump to another one: then the
 * stack is the same, and so is the return address. Only if its return is probed, that is the
 * kernel's by then, and then the return tells that it is over.
 */
struct ct_last {
	__u64 cookie;
	__u64 sp;
	__u64 caller;
	__u64 returns; /* its return is probed */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct ct_last);
} last_calls SEC(".maps");

/* Whether a call is a part of that of `outer`, which has jumped there; it counts from 1, 0 = none. */
static __always_inline bool is_jump(struct ct_last *now, __u32 outer)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct ct_last *last;

	if (!outer)
		return false;
	last = bpf_map_lookup_elem(&last_calls, &thread);
	if (!last || last->sp != now->sp || (!last->returns && last->caller != now->caller) ||
	    last->cookie + 1 != now->cookie - (now->cookie & COOKIE_FUNCTION) + outer)
		return false;
	now->caller = last->caller;
	return true;
}

static __always_inline void remember_call(struct ct_last *now)
{
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&last_calls, &thread, now, BPF_ANY);
}

static __always_inline void forget_call(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&last_calls, &thread);
}

struct ct_process {
	__u64 start_time;
	__u32 pid;
	__u32 pad;
};

static __always_inline struct ct_process process_of(struct task_struct *task)
{
	struct ct_process process = {
		.start_time = BPF_CORE_READ(task, group_leader, start_boottime),
		.pid = BPF_CORE_READ(task, tgid),
	};

	return process;
}

static __always_inline struct ct_process current_process(void)
{
	return process_of((struct task_struct *)bpf_get_current_task());
}

#endif /* CT_PLACES_BPF_H */
