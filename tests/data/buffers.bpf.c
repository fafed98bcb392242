// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* One source for both kinds of buffers: sends as many records as it is told to for each getpgid(2). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "event_buffer.bpf.h"

struct event {
	__u64 number;
	__u32 cpu;
	__u32 pad;
	char text[96];
};

EVENT_BUFFER(events, struct event, 1 << 16)

const volatile __u32 targ_tgid;
const volatile __u32 targ_repeat = 1;
/* How much of the text is sent: less than all makes records short. */
const volatile __u32 targ_text = 96;
__u64 sent;

SEC("tp_btf/sys_enter")
int on_enter(__u64 *ctx)
{
	struct event event = {};

	/* getpgid(2) of x86-64 */
	if (ctx[1] != 121 || bpf_get_current_pid_tgid() >> 32 != targ_tgid)
		return 0;
	event.cpu = bpf_get_smp_processor_id();
	__builtin_memcpy(event.text, "hello", 6);
	for (__u32 i = 0; i < targ_repeat && i < 1024; i++) {
		event.number = sent;
		events__send(ctx, &event, sizeof(event) - sizeof(event.text) + (targ_text > 96 ? 96 : targ_text));
		__sync_fetch_and_add(&sent, 1);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
