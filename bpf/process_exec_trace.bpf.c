// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every program that is started: one record for each execve() or execveat() that succeeded.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"

#include <bpf/bpf_tracing.h>

/*
 * Puts the first bytes of the arguments behind the `used` bytes of exec->strings; returns how much is
 * used then. The kernel has just written them to the new stack, so they are resident; should they be
 * gone all the same, argv_size tells that there were some.
 */
static __always_inline __u64 append_argv(struct ct_process_exec *exec, __u64 used,
					 struct mm_struct *mm)
{
	unsigned long start = mm->arg_start;
	__u64 size = mm->arg_end - start;

	exec->argv_size = size;
	if (size > CT_ARGV_SIZE)
		size = CT_ARGV_SIZE;
	/* The verifier forgets what it knew of a register that the compiler put on the stack. */
	barrier_var(size);
	size &= 2 * CT_ARGV_SIZE - 1;
	if (size > CT_ARGV_SIZE || used > CT_PATH_SIZE ||
	    bpf_probe_read_user(exec->strings + used, size, (const void *)start))
		return used;
	return used + size;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_sched_process_exec, struct task_struct *task, int old_pid,
	     struct linux_binprm *bprm)
{
	struct ct_process_exec *exec;
	union ct_event *event;
	__u64 used = 1;
	long size;

	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	exec = &event->process_exec;
	size = bpf_probe_read_kernel_str(exec->strings, CT_PATH_SIZE, bprm->filename);
	if (size > 0)
		used = size;
	else
		exec->strings[0] = '\0';
	used = append_argv(exec, used, task->mm);
	exec->strings_size = used;
	fill_header(&event->header, CT_PROCESS_EXEC);
	if (used <= sizeof(exec->strings))
		send_record(&event->header, offsetof(struct ct_process_exec, strings) + used);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
