/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * How a record is built and sent: shared ring, counters of losses, scratch space.
 *
 * `events` and `lost` are the same two maps in every object: user space makes them once and hands
 * them to each object it loads, so their definitions must not differ. `scratch` belongs to its
 * object.
 *
 * One scratch entry for each CPU is enough, since a program is never entered twice on one CPU. All
 * our hooks fire in task context, never in an interrupt. Older kernels call the programs with
 * preemption off. Newer ones (since "tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with
 * SRCU-fast", 7.0, a46023d5616e) only keep the task on its CPU, so that another task may come in
 * between; then the kernel's per-CPU counter of running instances (prog->active) makes it skip the
 * second call. What is skipped shows in the program's recursion_misses, and nowhere else.
 */
#ifndef CT_RECORD_BPF_H
#define CT_RECORD_BPF_H

#include "events.h"
#include "kernel.h"

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "core_fixes.bpf.h"

/*
 * Tells user space which type the records of a map have. clang writes BTF only for types that
 * something global needs, and libbpf refuses __type(value, ...) on a ring buffer, so a pointer in
 * a section of its own is what carries the type. Nothing reads the pointer.
 */
#define RECORD_TYPE(map, type) const type *map##__record SEC(".records")

RECORD_TYPE(events, union ct_event);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Records that did not get into the ring, by enum ct_kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union ct_event);
} scratch SEC(".maps");

static __always_inline void count_lost(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&lost, &kind);

	if (count)
		*count += 1;
}

/* Where to build a record: never NULL, but the verifier wants that tested. */
static __always_inline union ct_event *scratch_event(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&scratch, &first);
}

/*
 * All of struct ct_header, about the current task. bpf_get_current_task_btf() would spare the
 * probe reads, but is not there before 5.11.
 */
static __always_inline void fill_header(struct ct_header *header, enum ct_kind kind)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 uid_gid = bpf_get_current_uid_gid();

	header->time = bpf_ktime_get_boot_ns();
	header->start_time = BPF_CORE_READ(task, group_leader, start_boottime);
	header->cgroup = bpf_get_current_cgroup_id();
	header->kind = kind;
	header->pid = pid_tgid >> 32;
	header->tid = pid_tgid;
	header->ppid = BPF_CORE_READ(task, real_parent, tgid);
	header->uid = uid_gid;
	header->gid = uid_gid >> 32;
	get_current_comm(header->comm);
}

/* The one place that sends, and that counts what cannot be sent. */
static __always_inline void send_record(struct ct_header *header, __u64 size)
{
	if (bpf_ringbuf_output(&events, header, size, 0))
		count_lost(header->kind);
}

#endif /* CT_RECORD_BPF_H */
