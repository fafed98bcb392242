/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * How a record is built and sent: shared ring, counters of losses, scratch space.
 *
 * `events` and `counters` are the same two maps in every object: user space makes them once and
 * hands them to each object it loads, so their definitions must not differ. `scratch` belongs to its
 * object.
 *
 * For each kind of event, once nothing is on its way any more:
 *
 *     sent = received (by user space) + full
 *
 * One scratch entry for each CPU is enough for tp_btf and raw_tp, since such a program is never
 * entered twice on one CPU. Their hooks fire in task context, never in an interrupt. Older kernels call the programs with
 * preemption off. Newer ones (since "tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with
 * SRCU-fast", 7.0, a46023d5616e) only keep the task on its CPU, so that another task may come in
 * between; then the kernel's per-CPU counter of running instances (prog->active) makes it skip the
 * second call. What is skipped shows in the program's recursion_misses, which user space looks at.
 *
 * Uprobes have no such counter, and since 5.19 (8c7dcb84e3b7) they run with preemption on: two tasks may
 * be in the same program on one CPU. They build their records in the ring: reserve_record().
 */
#ifndef CT_RECORD_BPF_H
#define CT_RECORD_BPF_H

#include "events.h"
#include "kernel.h"

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "core_fixes.bpf.h"
#include "pids.bpf.h"

/*
 * Tells user space which type the records of a map have. clang writes BTF only for types that
 * something global needs, and libbpf refuses __type(value, ...) on a ring buffer, so a pointer in
 * a section of its own is what carries the type. Nothing reads the pointer.
 */
#define RECORD_TYPE(map, type) const type *map##__record SEC(".records")

RECORD_TYPE(events, union ct_event);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 21);
} events SEC(".maps");

struct ct_counts {
	__u64 sent; /* records that were made */
	__u64 full; /* of these: found no room in the ring */
	__u64 unread; /* events without a record: memory with a name in it could not be read */
};

/* By enum ct_kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct ct_counts);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union ct_event);
} scratch SEC(".maps");

/*
 * Atomic, although each CPU has its own: where programs can be interrupted, another one may count in
 * between.
 */
static __always_inline void count_sent(__u32 kind, bool full)
{
	struct ct_counts *counts = bpf_map_lookup_elem(&counters, &kind);

	if (!counts)
		return;
	__sync_fetch_and_add(&counts->sent, 1);
	if (full)
		__sync_fetch_and_add(&counts->full, 1);
}

/* An event that would have been sent, perhaps, if what it is about could be read. */
static __always_inline void count_unread(__u32 kind)
{
	struct ct_counts *counts = bpf_map_lookup_elem(&counters, &kind);

	if (counts)
		__sync_fetch_and_add(&counts->unread, 1);
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
	header->host_pid = pid_tgid >> 32;
	header->pid = targ_pid_ns ? process_id(task) : pid_tgid >> 32;
	header->tid = targ_pid_ns ? thread_id(task) : pid_tgid;
	header->ppid = process_id(BPF_CORE_READ(task, real_parent));
	header->header_pad = 0;
	header->uid = uid_gid;
	header->gid = uid_gid >> 32;
	get_current_comm(header->comm);
}

/*
 * Who reads the ring looks every few milliseconds and lets records gather, so nobody is woken for most. It wants to
 * know of these at once: a library that has just been mapped is about to be called.
 */
static __always_inline __u64 wakeup(enum ct_kind kind)
{
	return kind == CT_PROCESS_EXEC || kind == CT_LIB_LOAD ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Sends a record that was built elsewhere, and counts it. */
static __always_inline void send_record(struct ct_header *header, __u64 size)
{
	__u64 flags = wakeup(header->kind);

	count_sent(header->kind, bpf_ringbuf_output(&events, header, size, flags) != 0);
}

/*
 * Room for a record of a fixed size in the ring, counted; NULL if there is none. It has to be filled
 * and given to bpf_ringbuf_submit() with BPF_RB_NO_WAKEUP: the user's filters come before.
 */
static __always_inline void *reserve_record(enum ct_kind kind, __u64 size)
{
	void *record = bpf_ringbuf_reserve(&events, size, 0);

	count_sent(kind, !record);
	return record;
}

#endif /* CT_RECORD_BPF_H */
