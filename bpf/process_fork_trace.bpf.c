// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Every process that is made: one record for each fork(), vfork() or clone() that gives no thread.
 * The record is that of the parent, and names the child.
 */
#include "events.h"
#include "kernel.h"
#include "record.bpf.h"
#include "filter.bpf.h"

#include <bpf/bpf_tracing.h>

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct ct_process_fork *fork;
	union ct_event *event;

	if (child->tgid != child->pid)
		return 0;
	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;

	event = scratch_event();
	if (!event)
		return 0;

	fork = &event->process_fork;
	fork->child = process_id(child);
	fork->child_start_time = child->start_boottime;
	fork->pad = 0;
	fill_header(&event->header, CT_PROCESS_FORK);
	send_record(&event->header, sizeof(*fork));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
