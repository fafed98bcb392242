// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Entry and return of a function: the test attaches them, so the sections name no target. */
#include <linux/bpf.h>
#include <linux/types.h>

/* As x86-64 has it up to the return value. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax;
};

#include <bpf/bpf_helpers.h>

/* Kernels before 5.15 have no cookies: there they are 0. */
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
#define COOKIE(ctx) (LINUX_HAS_BPF_COOKIE ? bpf_get_attach_cookie(ctx) : 0)

__u64 entries;
__u64 returns;
__u64 cookie;
__u64 returned;

SEC("uprobe")
int on_entry(void *ctx)
{
	cookie = COOKIE(ctx);
	__sync_fetch_and_add(&entries, 1);
	return 0;
}

SEC("uretprobe")
int on_return(struct pt_regs *ctx)
{
	returned = ctx->rax;
	__sync_fetch_and_add(&returns, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
