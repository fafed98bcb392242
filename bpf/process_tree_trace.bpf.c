// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Keeps the map `traced`: children of a process in it get in, and who is gone gets out. It sends
 * nothing, and is loaded only if somebody wants the processes of a tree.
 *
 * The fork hook runs before the child does, so nothing of the child goes unseen. A process leaves the
 * map when its last reference in the kernel goes, which is after its exit was reported; its id cannot
 * have been used again by then, since ids go round.
 */
#include "kernel.h"
#include "filter.bpf.h"

#include <bpf/bpf_tracing.h>

/* Children that found no room in the map, and so are not seen. */
__u64 not_followed;

/*
 * A process that is being freed has no number in its namespace any more. So `traced` also has, by the number
 * of the host and this bit, which one it was. No pid is that large.
 */
#define HOST 0x80000000

static __always_inline void remember_host(__u32 host, __u32 tgid)
{
	host |= HOST;
	bpf_map_update_elem(&traced, &host, &tgid, BPF_ANY);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid, child_tgid, follow = 1;

	/* A thread is part of its process. */
	if (parent->tgid == child->tgid)
		return 0;
	tgid = process_id(parent);
	if (!bpf_map_lookup_elem(&traced, &tgid))
		return 0;
	child_tgid = process_id(child);
	if (bpf_map_update_elem(&traced, &child_tgid, &follow, BPF_ANY))
		__sync_fetch_and_add(&not_followed, 1);
	else if (targ_pid_ns)
		remember_host(child->tgid, child_tgid);
	return 0;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(on_sched_process_free, struct task_struct *task)
{
	__u32 tgid = task->tgid, host = task->tgid | HOST, *found;

	if (task->pid != task->tgid)
		return 0;
	if (targ_pid_ns) {
		found = bpf_map_lookup_elem(&traced, &host);
		if (!found)
			return 0;
		tgid = *found;
		bpf_map_delete_elem(&traced, &host);
	}
	bpf_map_delete_elem(&traced, &tgid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
