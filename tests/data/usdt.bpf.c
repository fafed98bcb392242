// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* USDT with libbpf's header: the arguments and the cookie of the last hit. */
#include <linux/bpf.h>
#include <linux/types.h>
#define bool _Bool

/* As x86-64 has it. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags,
		rsp, ss;
};

#include <bpf/usdt.bpf.h>

__u64 hits;
__u64 cookie;
__s64 count;
__s64 arguments[12];

SEC("usdt")
int on_probe(struct pt_regs *ctx)
{
	long value;
	int i;

	__sync_fetch_and_add(&hits, 1);
	count = bpf_usdt_arg_cnt(ctx);
	cookie = bpf_usdt_cookie(ctx);
	for (i = 0; i < 12; i++) {
		bpf_usdt_arg(ctx, i, &value);
		arguments[i] = value;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
