// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Entry and return of a function: the test attaches them, so the sections name no target. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 entries;
__u64 returns;
__u64 cookie;

SEC("uprobe")
int on_entry(void *ctx)
{
	cookie = bpf_get_attach_cookie(ctx);
	__sync_fetch_and_add(&entries, 1);
	return 0;
}

SEC("uretprobe")
int on_return(void *ctx)
{
	__sync_fetch_and_add(&returns, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
