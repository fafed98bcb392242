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
 * The first bytes of the arguments. The kernel has just written them to the new stack, so they are
 * resident; should they be gone all the same, argv stays zeroed, and argv_size tells that there
 * were some.
 */
static __always_inline void read_argv(struct ct_process_exec *exec, struct mm_struct *mm)
{
	unsigned long start = mm->arg_start;
	__u64 size = mm->arg_end - start;

	exec->argv_size = size;
	exec->pad = 0;
	__builtin_memset(exec->argv, 0, sizeof(exec->argv));
	if (size > sizeof(exec->argv))
		size = sizeof(exec->argv);
	bpf_probe_read_user(exec->argv, size, (const void *)start);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_sched_process_exec, struct task_struct *task, int old_pid,
	     struct linux_binprm *bprm)
{
	struct ct_process_exec *exec;
	union ct_event *event;
	long used;

	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	exec = &event->process_exec;
	used = bpf_probe_read_kernel_str(exec->path, sizeof(exec->path), bprm->filename);
	if (used <= 0) {
		exec->path[0] = '\0';
		used = 1;
	}
	read_argv(exec, task->mm);
	fill_header(&event->header, CT_PROCESS_EXEC);
	send_record(&event->header, offsetof(struct ct_process_exec, path) + used);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
