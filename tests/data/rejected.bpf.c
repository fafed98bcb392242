// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Programs that no kernel loads. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int reads_through_null(void *ctx)
{
	volatile int *nowhere = 0;

	return *nowhere;
}

struct task_struct {
	int no_such_field;
} __attribute__((preserve_access_index));

SEC("tp_btf/sched_process_exit")
int poisoned(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	return task->no_such_field;
}

SEC("?no_such_section/target")
int unknown_section(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
