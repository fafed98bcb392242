// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Functions of the kernel, by kprobes of each kind: hits and cookies of one process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Kernels before 5.15 have no cookies: there they are 0. */
extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;
#define COOKIE(ctx) (LINUX_HAS_BPF_COOKIE ? bpf_get_attach_cookie(ctx) : 0)

const volatile __u32 targ_tgid;

__u64 hits;
__u64 returns;
__u64 cookies;

static int mine(void)
{
	return bpf_get_current_pid_tgid() >> 32 == targ_tgid;
}

SEC("kprobe")
int plain(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("kretprobe")
int plain_return(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&returns, 1);
	return 0;
}

SEC("kprobe")
int with_cookie(void *ctx)
{
	if (mine()) {
		__sync_fetch_and_add(&hits, 1);
		__sync_fetch_and_add(&cookies, COOKIE(ctx));
	}
	return 0;
}

SEC("ksyscall/getpgid")
int on_syscall(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("kretsyscall/getpgid")
int on_syscall_return(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&returns, 1);
	return 0;
}

SEC("kprobe.multi/__*_sys_getpgid")
int multi(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("kprobe.multi")
int multi_with_cookie(void *ctx)
{
	if (mine()) {
		__sync_fetch_and_add(&hits, 1);
		__sync_fetch_and_add(&cookies, COOKIE(ctx));
	}
	return 0;
}

SEC("kretprobe.multi")
int multi_return(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&returns, 1);
	return 0;
}

/* Runs at entry and at return. */
SEC("kprobe.session")
int session(void *ctx)
{
	if (mine())
		__sync_fetch_and_add(&hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
