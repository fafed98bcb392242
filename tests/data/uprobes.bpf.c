// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Places of a file, by links to many and by others: hits, and the sum of cookies. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Kernels before 5.15 have no cookies: there they are 0. */
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
#define COOKIE(ctx) (LINUX_HAS_BPF_COOKIE ? bpf_get_attach_cookie(ctx) : 0)

__u64 hits;
__u64 cookies;

SEC("uprobe.multi")
int multi(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	__sync_fetch_and_add(&cookies, COOKIE(ctx));
	return 0;
}

SEC("uretprobe.multi")
int multi_return(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

/* Runs at entry and at return. */
SEC("uprobe.session")
int session(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("uprobe.s")
int sleepable(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

/* Not promoted: goes through perf events. */
SEC("kprobe")
int by_event(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("uprobe/libc.so.6:getpgid")
int named(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
