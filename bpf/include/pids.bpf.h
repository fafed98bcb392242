/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * Process ids as the tracer sees them: those of the host, unless it runs in a PID namespace of its own, as a sidecar
 * does. Then what lies outside of that namespace has no id, and is not reported.
 *
 * bpf_get_ns_current_pid_tgid() would tell the current task's numbers alone, and only if its innermost namespace is
 * the wanted one. Parents, children, and processes in a namespace further down need the kernel's own table.
 */
#ifndef CT_PIDS_BPF_H
#define CT_PIDS_BPF_H

#include "kernel.h"

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define PID_LEVELS 32 /* MAX_PID_NS_LEVEL in include/linux/pid_namespace.h */

const volatile __u32 targ_pid_ns; /* inode number of the namespace whose ids are told; 0 = the first */

/* The number in the wanted namespace; 0 if it has none there. */
static __noinline __u32 number_of(struct pid *pid)
{
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *each;

#pragma clang loop unroll(disable)
	for (int i = 0; i < PID_LEVELS && level; i++, level--) {
		each = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
		       level * bpf_core_type_size(struct upid);
		if (BPF_CORE_READ(each, ns, ns.inum) == targ_pid_ns)
			return BPF_CORE_READ(each, nr);
	}
	return 0;
}

/* Of the process that a task belongs to. */
static __always_inline __u32 process_id(struct task_struct *task)
{
	if (!targ_pid_ns)
		return BPF_CORE_READ(task, tgid);
	return number_of(BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]));
}

static __always_inline __u32 thread_id(struct task_struct *task)
{
	if (!targ_pid_ns)
		return BPF_CORE_READ(task, pid);
	return number_of(BPF_CORE_READ(task, thread_pid));
}

#endif /* CT_PIDS_BPF_H */
