// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A uprobe that jumps to a program with another section name: all of one array have to be loaded alike. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int on_jump(void *ctx);

int targ_pid = 0;
unsigned long jumped = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = {[0] = (void *)&on_jump},
};

SEC("uprobe")
int on_call(void *ctx)
{
	if (targ_pid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	bpf_tail_call(ctx, &jumps, 0);
	return 0;
}

SEC("kprobe")
int on_jump(void *ctx)
{
	jumped++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
