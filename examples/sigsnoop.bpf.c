// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* A record for each signal that is sent. User space may pause it at any time. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "event_buffer.bpf.h"

struct sent {
	__u32 signal;
	__u32 sender;
	__u32 receiver;
	char comm[16]; /* the sender's */
};

EVENT_BUFFER(events, struct sent, 1 << 16)

struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));

const volatile __u32 targ_receiver; /* 0: all */
_Bool paused; /* no constant: user space writes it while the program is attached */

SEC("tp_btf/signal_generate")
int on_signal(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[2];
	struct sent event = {};

	event.signal = ctx[0];
	event.receiver = task->tgid;
	if (paused || (targ_receiver && event.receiver != targ_receiver))
		return 0;
	event.sender = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	events__send(ctx, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
