// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A record for each program that starts, with its arguments; records are as long as these. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "event_buffer.bpf.h"

#define MAX_ARGS 4096

struct started {
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	char comm[16];
	char args[MAX_ARGS]; /* a NUL behind each */
};

EVENT_BUFFER(events, struct started, 1 << 20)

struct mm_struct {
	unsigned long arg_start, arg_end;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid, tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
} __attribute__((preserve_access_index));

/* Too large for the stack. A program runs once at a time on a CPU, so one each is enough. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct started);
} scratch SEC(".maps");

const volatile __u32 targ_parent; /* 0: all */

SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	__u32 zero = 0, parent = task->real_parent->tgid;
	struct started *event = bpf_map_lookup_elem(&scratch, &zero);
	unsigned long size;

	if (!event || (targ_parent && parent != targ_parent))
		return 0;
	event->pid = task->tgid;
	event->ppid = parent;
	event->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	size = task->mm->arg_end - task->mm->arg_start;
	if (size > MAX_ARGS)
		size = MAX_ARGS;
	if (bpf_probe_read_user(event->args, size, (void *)task->mm->arg_start))
		size = 0;
	events__send(ctx, event, sizeof(*event) - MAX_ARGS + size);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
