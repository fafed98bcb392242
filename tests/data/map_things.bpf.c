// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Maps that hold or belong to things of the kernel: stacks, cgroups, tasks, sockets, perf events. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CGRP_STORAGE 32 /* newer than the headers */

/* What is needed of the kernel's. */
struct cgroup {
	int unused;
} __attribute__((preserve_access_index));
struct css_set {
	struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));
struct task_struct {
	int tgid;
	struct css_set *cgroups;
} __attribute__((preserve_access_index));

const volatile __u32 targ_tgid;
__s64 stack_id = -1;
__u32 under = -1;
__u64 found;
__u64 packets;

static __always_inline int is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == targ_tgid;
}

#define STACKS(name, flags)                                                                        \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_STACK_TRACE);                                            \
		__uint(max_entries, 128);                                                          \
		__uint(map_flags, flags);                                                          \
		__uint(key_size, 4);                                                               \
		__uint(value_size, flags ? 32 * sizeof(struct bpf_stack_build_id) : 32 * 8);       \
	} name SEC(".maps")

STACKS(stacks, 0);
STACKS(build_ids, BPF_F_STACK_BUILD_ID);

SEC("raw_tp/sys_enter")
int takes_stack(void *ctx)
{
	if (is_target())
		stack_id = bpf_get_stackid(ctx, &stacks, BPF_F_REUSE_STACKID);
	return 0;
}

SEC("raw_tp/sys_enter")
int takes_build_ids(void *ctx)
{
	if (is_target())
		stack_id = bpf_get_stackid(ctx, &build_ids, BPF_F_USER_STACK | BPF_F_REUSE_STACKID);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} cgroups SEC(".maps");

SEC("raw_tp/sys_enter")
int asks_cgroup(void *ctx)
{
	if (is_target())
		under = bpf_current_task_under_cgroup(&cgroups, 1);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

SEC("tc")
int emits(struct __sk_buff *skb)
{
	__u64 data = 0x1122334455667788;

	return bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU, &data, sizeof(data));
}

#define STORAGE(name, kind)                                                                        \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, int);                                                                  \
		__type(value, __u64);                                                              \
	} name SEC(".maps")

STORAGE(of_task, BPF_MAP_TYPE_TASK_STORAGE);
STORAGE(of_inode, BPF_MAP_TYPE_INODE_STORAGE);
STORAGE(of_socket, BPF_MAP_TYPE_SK_STORAGE);
STORAGE(of_cgroup, CGRP_STORAGE);

SEC("tp_btf/sys_enter")
int reads_task(unsigned long long *ctx)
{
	__u64 *value;

	if (!is_target())
		return 0;
	value = bpf_task_storage_get(&of_task, bpf_get_current_task_btf(), 0, 0);
	if (value)
		found = *value;
	return 0;
}

static void *(*const cgrp_storage_get)(void *map, struct cgroup *, void *value, __u64 flags) = (void *)210;

SEC("tp_btf/sys_enter")
int reads_cgroup(unsigned long long *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	__u64 *value;

	if (!is_target())
		return 0;
	value = cgrp_storage_get(&of_cgroup, task->cgroups->dfl_cgrp, 0, 0);
	if (value)
		found = *value;
	return 0;
}

/* LSM programs run when they are attached; this one is for kernels that let them. */
SEC("lsm/file_open")
int reads_inode(unsigned long long *ctx)
{
	struct file {
		void *f_inode;
	} __attribute__((preserve_access_index)) *file = (void *)ctx[0];
	__u64 *value;

	if (!is_target())
		return 0;
	value = bpf_inode_storage_get(&of_inode, file->f_inode, 0, 0);
	if (value)
		found = *value;
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} local SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} local_cpu SEC(".maps");

SEC("cgroup_skb/egress")
int counts_egress(struct __sk_buff *skb)
{
	__u64 *count = bpf_get_local_storage(&local, 0);
	__u64 *cpu_count = bpf_get_local_storage(&local_cpu, 0);

	__sync_fetch_and_add(count, 1);
	*cpu_count += 1;
	return 1;
}

SEC("cgroup_skb/egress")
int reads_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u64 *value;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	value = bpf_sk_storage_get(&of_socket, sk, 0, 0);
	if (value)
		found = *value;
	return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
