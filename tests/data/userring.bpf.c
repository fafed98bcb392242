// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Drains a user ring buffer at each getpgid(2), and sums up what was in it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct command {
	__u64 number;
	__u32 weight;
	char text[12];
};

const struct command *commands__record SEC(".records");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

const volatile __u32 targ_tgid;
__u64 received;
__u64 numbers;
__u64 weights;
__u64 in_order = 1;
__s64 result;
char last[12];

static long handle(struct bpf_dynptr *dynptr, void *unused)
{
	struct command command = {};

	if (bpf_dynptr_read(&command, sizeof(command), dynptr, 0, 0))
		return 1;
	if (command.number != received)
		in_order = 0;
	received++;
	numbers += command.number;
	weights += command.weight;
	__builtin_memcpy(last, command.text, sizeof(last));
	return 0;
}

SEC("tp_btf/sys_enter")
int on_enter(__u64 *ctx)
{
	/* getpgid(2) of x86-64 */
	if (ctx[1] != 121 || bpf_get_current_pid_tgid() >> 32 != targ_tgid)
		return 0;
	result = bpf_user_ringbuf_drain(&commands, handle, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
