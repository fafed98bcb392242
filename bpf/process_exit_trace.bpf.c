// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every process that ends: one record for each thread group, sent by its last thread.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"
#include "core_fixes.bpf.h"

#include <bpf/bpf_tracing.h>

/*
 * Which threads believe to be the last of their process: all that see signal->live at 0. If the
 * last counts itself down before the last but one gets here, both do. The first of them sends.
 *
 * Since "exit: move and extend sched_process_exit() tracepoint" (6.16) the hook's second argument
 * tells it right away. It cannot be taken where it exists: the verifier refuses a program that
 * reads an argument more than the running kernel's hook has.
 */
struct ct_exited {
	__u64 start_time;
	__u32 pid;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct ct_exited);
	__type(value, __u32);
} exited SEC(".maps");

static __always_inline bool is_first_exit(const struct ct_header *header)
{
	struct ct_exited key = {.start_time = header->start_time, .pid = header->pid};
	__u32 seen = 1;

	return map_error(bpf_map_update_elem(&exited, &key, &seen, BPF_NOEXIST)) != -EEXIST;
}

/* The status that wait(2) will report: wait_task_zombie() in kernel/exit.c computes it so. */
static __always_inline int wait_status(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	if (signal->flags & SIGNAL_GROUP_EXIT)
		return signal->group_exit_code;
	return task->group_leader->exit_code;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_sched_process_exit, struct task_struct *task)
{
	struct ct_process_exit *exit;
	union ct_event *event;
	int status;

	/* A thread that leaves while others go on, or a thread of the kernel. */
	if (task->signal->live.counter || task->flags & PF_KTHREAD)
		return 0;
	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	exit = &event->process_exit;
	fill_header(&event->header, CT_PROCESS_EXIT);
	if (!is_first_exit(&event->header))
		return 0;

	status = wait_status(task);
	exit->signal = status & 0x7f;
	exit->core_dumped = (status & 0x80) != 0;
	exit->exit_code = (status >> 8) & 0xff;
	exit->pad = 0;
	send_record(&event->header, sizeof(*exit));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
