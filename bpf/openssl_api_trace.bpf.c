// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Calls of functions of cryptographic libraries, OpenSSL's first of all; and TLS handshakes.
 *
 * Two programs are attached to all functions of all libraries. The cookie of the place says which
 * row of `functions` it is, and that says what the call means. Keys, passwords and buffers are
 * never read: no row names their arguments.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "core_fixes.bpf.h"
#include "api.bpf.h"
#include "shake.bpf.h"
#include "call.bpf.h"

#include <bpf/bpf_tracing.h>

SEC("uprobe.multi")
int on_entry(struct pt_regs *ctx)
{
	struct ct_call call = {};
	struct ct_last last;
	struct ct_row *row;
	__u32 index;

	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;
	call.cookie = find_cookie(ctx);
	index = call.cookie & COOKIE_FUNCTION;
	row = bpf_map_lookup_elem(&functions, &index);
	if (!row)
		return 0;
	call.object = argument(ctx, row->object);
	call.from = argument(ctx, row->from);
	call.made = argument(ctx, row->made);
	call.text = argument(ctx, row->text);
	call.number = argument(ctx, row->number);
	call.caller = read_caller(ctx);
	call.ip = PROBED_IP(ctx);
	call.at.thread = bpf_get_current_pid_tgid();
	call.at.sp = SP(ctx);
	last = (struct ct_last){
		.cookie = call.cookie,
		.sp = call.at.sp,
		.caller = call.caller,
		.returns = row->returns,
	};
	call.jumped = is_jump(&last, row->outer);
	call.caller = last.caller;
	if (row->jumps)
		remember_call(&last);
	if (enter(row, &call) && row->reported)
		send_call(row, &call);
	return 0;
}

SEC("uretprobe.multi")
int on_return(struct pt_regs *ctx)
{
	struct ct_frame_key at = {.thread = bpf_get_current_pid_tgid(), .sp = ENTRY_SP(ctx)};
	struct ct_frame *frame = bpf_map_lookup_elem(&frames, &at);
	struct ct_object key = {};
	struct ct_row *row;
	__u32 index;

	if (!frame)
		return 0;
	index = frame->cookie & COOKIE_FUNCTION;
	row = bpf_map_lookup_elem(&functions, &index);
	if (!row)
		return 0;
	if (row->jumps)
		forget_call();
	key.process = current_process();
	key.pointer = frame->object;
	if (row->action == CT_DO_NEW)
		end_new(&key, frame, row, RESULT(ctx));
	else if (row->action == CT_DO_SET)
		end_set(&key, frame, row, RESULT(ctx));
	else if (row->action == CT_DO_FINISHED)
		end_question(&key, row, frame, RESULT(ctx));
	else
		end_call(&key, row, &at, frame, RESULT(ctx));
	bpf_map_delete_elem(&frames, &at);
	return 0;
}

/*
 * The socket of a session, whoever reads and writes it: libcurl does it by itself, and gives OpenSSL
 * no file descriptor. Data goes through one socket while a thread is within a handshake.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct ct_shaking *inner;

	if (!shaking_count || !MOVES_DATA(SYSCALL_NR(regs)))
		return 0;
	inner = bpf_map_lookup_elem(&shaking, &thread);
	if (inner && !inner->peer.family)
		read_peer(&inner->peer, SYSCALL_ARG1(regs));
	return 0;
}

/* A child has copies of its parent's objects. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct ct_process from, to;
	struct ct_user user = {}, *known;

	if (child->pid != child->tgid)
		return 0;
	from = process_of(parent);
	known = bpf_map_lookup_elem(&users, &from);
	if (!known)
		return 0;
	if (has_executed(parent))
		known->parent.pid = 0;
	to = process_of(child);
	user.parent = from;
	user.forked = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&users, &to, &user, BPF_ANY);
	return 0;
}

/* A thread that ends within a handshake; a process that does, or without freeing a session whose handshake failed. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_sched_process_exit, struct task_struct *task)
{
	struct ct_object key = {};
	struct ct_user *user;

	if (shaking_count)
		stop_shaking(bpf_get_current_pid_tgid());
	if (task->signal->live.counter)
		return 0;
	key.process = process_of(task);
	user = bpf_map_lookup_elem(&users, &key.process);
	if (!user)
		return 0;
	key.pointer = user->unfinished;
	if (key.pointer)
		free_session(&key, NO_COOKIE);
	bpf_map_delete_elem(&users, &key.process);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
